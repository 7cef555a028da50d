/* SPDX-License-Identifier: MIT */
/* The interface identifiers, once for all bridges. Built only where the platform has none. */
#include <hostmalloc/bridges/ole.h>

HM_MODULE_VISIBLE const IID IID_IUnknown = {
    0x00000000, 0x0000, 0x0000, {0xc0, 0, 0, 0, 0, 0, 0, 0x46}};
HM_MODULE_VISIBLE const IID IID_IMalloc = {
    0x00000002, 0x0000, 0x0000, {0xc0, 0, 0, 0, 0, 0, 0, 0x46}};
HM_MODULE_VISIBLE const IID IID_IMallocSpy = {
    0x0000001d, 0x0000, 0x0000, {0xc0, 0, 0, 0, 0, 0, 0, 0x46}};
