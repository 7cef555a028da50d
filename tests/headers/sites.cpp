/* SPDX-License-Identifier: MIT */
/* The same program as C++: users there get the same macros, sites included. */
#include "sites.c"
