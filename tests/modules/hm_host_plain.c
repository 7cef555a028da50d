/* SPDX-License-Identifier: MIT */
/* A shared library like any other: no module at all. */
int plain_function(void);

int plain_function(void)
{
    return 1;
}
