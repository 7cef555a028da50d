/* SPDX-License-Identifier: MIT */
/* A program without a loader: nothing can be preloaded into it. */
int main(void)
{
    return 5;
}
