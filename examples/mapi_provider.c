/* SPDX-License-Identifier: MIT */
/* A MAPI provider: it gets three routines when it starts and allocates with nothing else, so what it hands out is freed
 * by whoever asked, in one call, and every block is the host's that the client chose. */
#include <stdio.h>
#include <string.h>

#define HM_MAPI_SITES
#include <hostmalloc/bridges/mapi.h>
#include <hostmalloc/hostmalloc.h>

#define PR_SUBJECT PROP_TAG(PT_STRING8, 0x0037)
#define PR_SIZE    PROP_TAG(PT_LONG, 0x0e08)

/* The provider. */

typedef struct provider {
    LPALLOCATEBUFFER allocate;
    LPALLOCATEMORE more;
    LPFREEBUFFER release;
} provider;

/* Two properties of a message, as one root: the subject is linked to it. */
static SCODE get_props(const provider *p, const char *subject, SPropValue **out)
{
    LPVOID root;
    LPVOID text;
    *out = NULL;
    SCODE status = p->allocate(2 * sizeof(SPropValue), &root);
    if (FAILED(status)) {
        return status;
    }
    status = p->more((ULONG)strlen(subject) + 1, root, &text);
    if (FAILED(status)) {
        p->release(root);
        return status;
    }
    SPropValue *props = root;
    memset(props, 0, 2 * sizeof *props);
    props[0].ulPropTag = PR_SUBJECT;
    props[0].Value.lpszA = strcpy(text, subject);
    props[1].ulPropTag = PR_SIZE;
    props[1].Value.l = (LONG)strlen(subject);
    *out = props;
    return S_OK;
}

/* A row per message: each row's array is a root of its own, which the client may keep. */
static SCODE query_rows(const provider *p, const char *const *subjects, SRowSet **out)
{
    LPVOID set;
    ULONG count = 0;
    *out = NULL;
    while (subjects[count]) {
        count++;
    }
    SCODE status = p->allocate((ULONG)CbNewSRowSet(count), &set);
    if (FAILED(status)) {
        return status;
    }
    SRowSet *rows = memset(set, 0, CbNewSRowSet(count));
    for (ULONG i = 0; i < count && SUCCEEDED(status); i++) {
        status = get_props(p, subjects[i], &rows->aRow[i].lpProps);
        rows->aRow[i].cValues = 2;
        rows->cRows = i + 1;
    }
    if (FAILED(status)) {
        FreeProws(rows); /* what there is; a row that failed has no array */
        return status;
    }
    *out = rows;
    return S_OK;
}

/* Its client. */

int main(void)
{
    static const char *const subjects[] = {"first", "second", "third", NULL};
    provider p;
    hm_host *host;
    hm_error err;
    SRowSet *rows;
    if (hm_host_open("debug", &host, &err) != HM_OK ||
        hm_mapi_set_host(host, &err) != HM_OK) {
        hm_error_print(&err);
        return 1;
    }
    hm_host_release(host);
    if (FAILED(MAPIInitialize(NULL)) ||
        FAILED(hm_mapi_routines(&p.allocate, &p.more, &p.release)) ||
        FAILED(query_rows(&p, subjects, &rows))) {
        return 1;
    }

    /* One row is kept: it is taken out, then the rest goes. */
    SPropValue *kept = rows->aRow[1].lpProps;
    rows->aRow[1].lpProps = NULL;
    rows->aRow[1].cValues = 0;
    FreeProws(rows);
    printf("kept: %s, %d bytes\n", kept[0].Value.lpszA, (int)kept[1].Value.l);

    /* A property is copied into a structure of the client's own, which goes with one call. */
    SPropValue *copy;
    if (FAILED(MAPIAllocateBuffer(sizeof *copy, (LPVOID *)&copy)) ||
        FAILED(PropCopyMore(copy, kept, (MAPIAllocateMore), copy))) {
        return 1;
    }
    MAPIFreeBuffer(kept);
    printf("copied: %s\n", copy->Value.lpszA);
    if (MAPIFreeBuffer(copy->Value.lpszA) == (ULONG)MAPI_E_INVALID_PARAMETER) {
        printf("a linked buffer is not freed alone\n");
    }
    MAPIUninitialize();

    /* The host knows what is live, whoever allocated it. */
    hm_leaks leaks = {.size = sizeof leaks};
    (void)hm_mapi_close(&leaks, &err);
    printf("live: %d blocks, %d bytes\n", (int)leaks.blocks, (int)leaks.bytes);
    MAPIFreeBuffer(copy);
    const hm_status status = hm_mapi_close(&leaks, &err);
    printf("left: %d blocks\n", (int)leaks.blocks);
    return status == HM_OK ? 0 : 1;
}

/* $ mapi_provider
 * kept: second, 6 bytes
 * copied: second
 * a linked buffer is not freed alone
 * live: 2 blocks, 31 bytes
 * left: 0 blocks
 */
