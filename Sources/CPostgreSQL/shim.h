// Debian keeps it in /usr/include/postgresql; pkg-config says so.
#include <libpq-fe.h>
