// SPDX-License-Identifier: BSD-3-Clause
// A shared object that is something else.
int no_plugin(void);
int no_plugin(void)
{
	return 0;
}
