// SPDX-License-Identifier: BSD-3-Clause
// What the configuration says about answering, and files of secrets with their errors.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <pollux/config.h>

#define ONE "e5e973e5a6b2a43f48e7dc849e37bfcf"
#define TWO "445536BCD2513298075a5d379663c962"

static char folder[] = "/tmp/pollux-identity-XXXXXX";
static char secrets_path[64];
static char said[2048];

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(secrets_path, sizeof(secrets_path), "%s/secrets", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(secrets_path);
	return rmdir(folder);
}

static void remember(void *ctx, enum severity severity, const char *file, unsigned line, unsigned column,
	const char *text)
{
	(void)ctx;
	assert_int_equal(severity, SEVERITY_ERROR);
	size_t at = strlen(said);
	snprintf(said + at, sizeof(said) - at, "%s:%u:%u: %s\n", strrchr(file, '/') + 1, line, column, text);
}

static struct config *read_config(const char *text)
{
	char whole[512];
	struct config *config;
	struct report report = { .emit = NULL };
	snprintf(whole, sizeof(whole), "zones: [{name: example.com, file: z}]\n%s", text);
	assert_int_equal(config_read_text(&config, whole, strlen(whole), "/etc/pollux/pollux.conf", &report), ST_OK);
	return config;
}

static enum status read_secrets(const char *text, struct server_identity *identity)
{
	char options[128];
	struct report report = { .emit = remember };
	FILE *file = fopen(secrets_path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
	snprintf(options, sizeof(options), "cookies: {secret-file: %s}\n", secrets_path);
	struct config *config = read_config(options);
	said[0] = 0;
	enum status status = config_identity(config, identity, &report);
	config_free(config);
	return status;
}

static void nothing_is_told_by_default_and_cookies_are_on(void **state)
{
	(void)state;
	struct server_identity identity;
	struct report report = { .emit = NULL };
	struct config *config = read_config("");
	assert_int_equal(config_identity(config, &identity, &report), ST_OK);
	assert_int_equal(identity.nsid_bytes + identity.id_bytes + identity.version_bytes, 0);
	assert_int_equal(identity.cookie_mode, COOKIES_ON);
	assert_int_equal(identity.secret_count, 0);
	assert_int_equal(config_policy(config).minimal, 0);
	assert_int_equal(config_policy(config).udp_size, 1232);
	config_free(config);
}

static void texts_and_switches_are_taken_over(void **state)
{
	(void)state;
	struct server_identity identity;
	struct report report = { .emit = NULL };
	struct config *config = read_config("identity: {nsid: ams1, id: a b, version: \"7\"}\ncookies: {mode: off}\n"
					    "answers: {minimal: true, any-udp: full}\nforward: {servers: [198.18.0.9], via: management}\n");
	assert_int_equal(config_identity(config, &identity, &report), ST_OK);
	assert_int_equal(identity.nsid_bytes, 4);
	assert_memory_equal(identity.nsid, "ams1", 4);
	assert_int_equal(identity.id_bytes, 3);
	assert_memory_equal(identity.id, "a b", 3);
	assert_int_equal(identity.version_bytes, 1);
	assert_int_equal(identity.cookie_mode, COOKIES_OFF);
	struct policy policy = config_policy(config);
	assert_true(policy.minimal && policy.any_full && policy.has_chain);
	config_free(config);
}

static void texts_that_are_too_long_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *key;
		unsigned most;
	} cases[] = { { "nsid", IDENTITY_TEXT_BYTES }, { "id", CHAOS_TEXT_BYTES }, { "version", CHAOS_TEXT_BYTES } };
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned more = 0; more < 2; more++) {
			char text[512];
			struct config *config;
			struct report report = { .emit = NULL };
			snprintf(text, sizeof(text), "identity: {%s: %0*u}\n", cases[i].key, (int)(cases[i].most + more), 1u);
			enum status status = config_read_text(&config, text, strlen(text), "/c", &report);
			assert_int_equal(status == ST_OK, !more);
			if (status == ST_OK)
				config_free(config);
		}
	}
}

static void one_or_two_secrets_are_read(void **state)
{
	(void)state;
	struct server_identity identity;
	assert_int_equal(read_secrets(ONE "\n", &identity), ST_OK);
	assert_int_equal(identity.secret_count, 1);
	assert_memory_equal(identity.secret[0], "\xe5\xe9\x73\xe5\xa6\xb2\xa4\x3f\x48\xe7\xdc\x84\x9e\x37\xbf\xcf", 16);
	assert_int_equal(read_secrets("# new\n\n  " TWO "  # since May\r\n" ONE, &identity), ST_OK);
	assert_int_equal(identity.secret_count, 2);
	assert_memory_equal(identity.secret[0], "\x44\x55\x36\xbc", 4);
	assert_memory_equal(identity.secret[1], "\xe5\xe9\x73\xe5", 4);
	assert_string_equal(said, "");
}

static void errors_in_a_file_of_secrets_have_their_place(void **state)
{
	(void)state;
	struct server_identity identity;
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "", "secrets:0:1: holds no secret\n" },
		{ "# nothing\n", "secrets:0:1: holds no secret\n" },
		{ "\n  12x4\n", "secrets:2:5: expected a secret of 32 hexadecimal digits, alone on its line\n" },
		{ ONE "0\n", "secrets:1:33: expected a secret of 32 hexadecimal digits, alone on its line\n" },
		{ ONE " " TWO "\n", "secrets:1:33: expected a secret of 32 hexadecimal digits, alone on its line\n" },
		{ ONE "\n" TWO "\n" ONE "\n", "secrets:3:1: a third secret: one makes cookies, one more may be accepted\n" },
	};
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(read_secrets(cases[i].text, &identity), ST_SYNTAX);
		assert_string_equal(said, cases[i].message);
		assert_int_equal(identity.secret_count, 0);
	}
}

static void a_missing_file_of_secrets_is_said(void **state)
{
	(void)state;
	struct server_identity identity;
	struct report report = { .emit = remember };
	struct config *config = read_config("cookies: {secret-file: /nonexistent/secrets}\n");
	said[0] = 0;
	assert_int_equal(config_identity(config, &identity, &report), ST_SYSTEM);
	assert_string_equal(said, "secrets:0:0: cannot be read: No such file or directory\n");
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_told_by_default_and_cookies_are_on),
		cmocka_unit_test(texts_and_switches_are_taken_over),
		cmocka_unit_test(texts_that_are_too_long_are_refused),
		cmocka_unit_test(one_or_two_secrets_are_read),
		cmocka_unit_test(errors_in_a_file_of_secrets_have_their_place),
		cmocka_unit_test(a_missing_file_of_secrets_is_said),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder) ? 1 : 0;
}
