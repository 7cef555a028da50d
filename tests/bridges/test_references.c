/* SPDX-License-Identifier: MIT */
/* AddRef, Release and QueryInterface of every object that a bridge of ours makes: a row each. And the check itself, on an
 * object that breaks one rule after the other. */
#include <hostmalloc/bridges/clr.h>
#include <hostmalloc/bridges/mapi.h>
#include <hostmalloc/bridges/ole.h>
#include <hostmalloc/bridges/params.h>

#include "check.h"

#include <hostmalloc/hostmalloc.h>
#include <string.h>

#include "memory_internal.h"

static hm_host *host;

/* Each maker answers with the only reference to a fresh object, or to one that is always there. */

static IUnknown *task_malloc(void)
{
    IMalloc *object;
    assert_int_equal(S_OK, hm_ole_get_malloc(MEMCTX_TASK, &object));
    return (IUnknown *)object;
}

static IUnknown *spy(void)
{
    hm_spy *counter;
    IMallocSpy *object;
    assert_int_equal(HM_OK, hm_spy_count_create(&counter));
    assert_int_equal(S_OK, hm_ole_spy_object(counter, &object));
    hm_spy_release(counter);
    return (IUnknown *)object;
}

static IUnknown *mapi_malloc(void)
{
    return (IUnknown *)hm_mapi_default_malloc();
}

static IUnknown *control(void)
{
    IHostControl *object;
    assert_int_equal(HM_OK, hm_clr_control_create(host, &object, NULL));
    return (IUnknown *)object;
}

static IUnknown *manager(void)
{
    void *object;
    IUnknown *owner = control();
    assert_int_equal(S_OK, owner->lpVtbl->QueryInterface(
                               owner, &hm_clr_iid_host_memory_manager, &object));
    owner->lpVtbl->Release(owner);
    return object;
}

static IUnknown *host_malloc(void)
{
    IHostMalloc *object;
    IHostMemoryManager *owner = (IHostMemoryManager *)manager();
    assert_int_equal(S_OK,
                     owner->lpVtbl->CreateMalloc(owner, MALLOC_THREADSAFE, &object));
    owner->lpVtbl->Release(owner);
    return (IUnknown *)object;
}

/* Somebody's manager, which does no more than take the callback that the bridge registers with it. */

static ICLRMemoryNotificationCallback *registered;

static ULONG STDMETHODCALLTYPE foreign_count(IHostMemoryManager *self)
{
    (void)self;
    return 1;
}

static HRESULT STDMETHODCALLTYPE
foreign_register(IHostMemoryManager *self, ICLRMemoryNotificationCallback *callback)
{
    (void)self;
    registered = callback;
    return S_OK;
}

static const IHostMemoryManagerVtbl foreign_vtbl = {.AddRef = foreign_count,
                                                    .Release = foreign_count,
                                                    .RegisterMemoryNotificationCallback =
                                                        foreign_register};
static IHostMemoryManager foreign = {&foreign_vtbl};

static size_t hear(void *context, hm_pressure pressure)
{
    (void)context, (void)pressure;
    return 0;
}

static IUnknown *callback(void)
{
    hm_host *over;
    if (!registered) {
        assert_int_equal(HM_OK, hm_clr_host_create(&foreign, NULL, &over, NULL));
        assert_int_equal(HM_OK, hm_host_subscribe(over, hear, NULL));
        assert_int_equal(HM_OK, hm_host_unsubscribe(over, hear, NULL));
        hm_host_release(over);
        assert_non_null(registered);
    }
    return (IUnknown *)registered;
}

static void references__of_every_object(void **state)
{
    static const struct {
        const char *label;
        IUnknown *(*make)(void);
        const IID *interfaces[2];
        ULONG add_ref, release; /* of one that is never destroyed */
    } cases[] = {
        {"task IMalloc", task_malloc, {&IID_IMalloc}, 2, 1},
        {"IMallocSpy", spy, {&IID_IMallocSpy}, 0, 0},
        {"MAPI's IMalloc", mapi_malloc, {&IID_IMalloc}, 1, 1},
        {"IHostControl",
         control,
         {&hm_clr_iid_host_control, &hm_clr_iid_host_memory_manager},
         0,
         0},
        {"IHostMemoryManager",
         manager,
         {&hm_clr_iid_host_memory_manager, &hm_clr_iid_host_control},
         0,
         0},
        {"IHostMalloc", host_malloc, {&hm_clr_iid_host_malloc}, 0, 0},
        {"ICLRMemoryNotificationCallback",
         callback,
         {&hm_clr_iid_memory_notification_callback},
         1,
         1},
    };
    hm_error err;
    (void)state;
    assert_int_equal(HM_OK, hm_host_open("default", &host, &err));
    for (size_t i = 0; i < COUNT(cases); i++) {
        const int counted = !cases[i].add_ref && !cases[i].release;
        IUnknown *first = cases[i].make(); /* what is made once, and stays */
        if (counted) {
            CHECK_ROW(cases[i].label, first->lpVtbl->Release(first) == 0);
        }
        const size_t before = hm__memory_in_use();
        hm_references expected = {.size = sizeof expected,
                                  .object = cases[i].make(),
                                  .interfaces = cases[i].interfaces,
                                  .count = cases[i].interfaces[1] ? 2 : 1,
                                  .add_ref = cases[i].add_ref,
                                  .release = cases[i].release};
        IUnknown *const object = expected.object;
        if (hm_references_check(&expected, &err) != HM_OK) {
            fail_msg("%s: %s", cases[i].label, err.what);
        }
        /* Its only reference: at 0 it is gone, with all it had. */
        if (counted) {
            CHECK_ROW(cases[i].label, object->lpVtbl->Release(object) == 0);
        }
        CHECK_ROW(cases[i].label, hm__memory_in_use() == before);
    }
    hm_host_release(host);
    assert_int_equal(HM_OK, hm_ole_close(NULL, NULL));
    assert_int_equal(HM_OK, hm_mapi_close(NULL, NULL));
}

/* An object that breaks what it is told to. */

enum {
    KEEPS,
    ADDS_TWO,
    KEEPS_COUNT,
    ADDS_NOTHING_ON_QUERY,
    ADDS_TWO_ON_QUERY,
    KNOWS_STRANGERS,
    LEAVES_POINTER,
    FORGETS_ITSELF,
    ANSWERS_NULL,
    HAS_TWO_FACES
};

static int mistake;
static ULONG count;
static uint32_t asked;
static int held; /* by who asked for references and who gave them back */

static HRESULT STDMETHODCALLTYPE wrong_query(IUnknown *self, REFIID riid, void **object);

static ULONG STDMETHODCALLTYPE wrong_add_ref(IUnknown *self)
{
    (void)self;
    held++;
    count += mistake == ADDS_TWO ? 2 : 1;
    return count;
}

static ULONG STDMETHODCALLTYPE wrong_release(IUnknown *self)
{
    (void)self;
    held--;
    return mistake == KEEPS_COUNT ? count : --count;
}

static const IUnknownVtbl wrong_vtbl = {wrong_query, wrong_add_ref, wrong_release};
static IUnknown faces[2] = {{&wrong_vtbl}, {&wrong_vtbl}};

static HRESULT STDMETHODCALLTYPE wrong_query(IUnknown *self, REFIID riid, void **object)
{
    const int is_unknown = hm_com_same_iid(riid, &IID_IUnknown);
    const int is_malloc = hm_com_same_iid(riid, &IID_IMalloc);
    (void)self;
    if (mistake == ANSWERS_NULL) {
        *object = NULL;
        return S_OK;
    }
    if ((!is_unknown && !is_malloc && mistake != KNOWS_STRANGERS) ||
        (is_unknown && mistake == FORGETS_ITSELF)) {
        *object = mistake == LEAVES_POINTER ? *object : NULL;
        return E_NOINTERFACE;
    }
    *object = &faces[mistake == HAS_TWO_FACES ? ++asked % 2 : 0];
    held++;
    count += mistake == ADDS_NOTHING_ON_QUERY ? 0 : mistake == ADDS_TWO_ON_QUERY ? 2 : 1;
    return S_OK;
}

static void references__check_sees_each_mistake(void **state)
{
    static const struct {
        int mistake;
        const char *what;
    } cases[] = {
        {KEEPS, ""},
        {ADDS_TWO, "AddRef answers: "},
        {KEEPS_COUNT, "Release answers: "},
        {ADDS_NOTHING_ON_QUERY, "references afterwards: "},
        {ADDS_TWO_ON_QUERY, "references afterwards: "},
        {KNOWS_STRANGERS, "QueryInterface of a stranger's answers 0x0 and a"},
        {LEAVES_POINTER, "QueryInterface of a stranger's answers 0x80004002 and"},
        {FORGETS_ITSELF, "QueryInterface of 0 answers 0x80004002, expected an"},
        {ANSWERS_NULL, "QueryInterface of 0 answers 0x0, expected an interface"},
        {HAS_TWO_FACES, "QueryInterface of 0 has two answers"}};
    static const IID *const interfaces[] = {&IID_IMalloc};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const hm_references expected = {.size = sizeof expected,
                                        .object = &faces[0],
                                        .interfaces = interfaces,
                                        .count = 1};
        hm_error err = {HM_OK, 0, "", ""};
        mistake = cases[i].mistake;
        count = 100;
        held = 0;
        const hm_status status = hm_references_check(&expected, &err);
        if (held != 0) {
            fail_msg("mistake %d: the check keeps %d references", mistake, held);
        }
        if (strncmp(err.what, cases[i].what, strlen(cases[i].what)) != 0 ||
            status != (cases[i].mistake ? HM_E_INVALID : HM_OK)) {
            fail_msg("mistake %d: says '%s'", cases[i].mistake, err.what);
        }
    }
}

static void references__check_refuses_nonsense(void **state)
{
    hm_error err;
    hm_references none = {.size = sizeof none};
    (void)state;
    assert_int_equal(HM_E_INVALID, hm_references_check(NULL, &err));
    assert_int_equal(HM_E_INVALID, hm_references_check(&none, &err));
    none.object = &faces[0];
    none.count = 1;
    assert_int_equal(HM_E_INVALID, hm_references_check(&none, &err));
    none.count = 0;
    none.size = 4;
    assert_int_equal(HM_E_INVALID, hm_references_check(&none, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references__of_every_object),
        cmocka_unit_test(references__check_sees_each_mistake),
        cmocka_unit_test(references__check_refuses_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
