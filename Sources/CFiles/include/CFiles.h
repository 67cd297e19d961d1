// Linux file calls that Swift cannot make itself: they take variable arguments or have no function in glibc.
#pragma once

#include <stdbool.h>

/// Opens a directory as a starting point for other calls, which needs no right to read it (O_PATH).
int cfiles_open_directory(const char *path);

/// Opens `path`, relative to the directory `root`, for reading, without following any symbolic link and without
/// leaving `root`: openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, or one openat(2) with O_NOFOLLOW for each
/// component where the kernel or a sandbox refuses openat2 (or when `by_component` is set). The path must be
/// relative, with no empty, `.` or `..` components; "." alone opens `root` again. Never blocks on a pipe.
///
/// Returns a descriptor, or -1 with errno set: ELOOP for a link on the way.
int cfiles_open_beneath(int root, const char *path, bool directory, bool by_component);
