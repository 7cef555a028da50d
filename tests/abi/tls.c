/* SPDX-License-Identifier: MIT */
/* A library whose thread-local storage must lie where the program's does: each copy that is opened uses some of what
 * the loader keeps for late comers. */
int tls_touch(void);

__attribute__((tls_model("initial-exec"))) static _Thread_local char bytes[192] = {1};

int tls_touch(void)
{
    return bytes[0]++;
}
