// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The directory of a file, absolute and with a final slash, so that relative paths in the file mean the
// same from anywhere. Links are not followed: /etc/x.conf has the directory /etc/. The caller frees; NULL
// with errno.
char *path_directory(const char *file);
