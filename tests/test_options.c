/* SPDX-License-Identifier: MIT */
/* Typed options: what is read, what is refused and how, defaults, and descriptions that are wrong themselves. */
#include "spec_internal.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "memory_internal.h"

static const hm_option hard = {sizeof(hm_option),   "hard", HM_OPTION_BYTES, 0, NULL,
                               "no more than this", NULL};
static const hm_option soft = {sizeof(hm_option), "soft", HM_OPTION_BYTES, 0, "16M",
                               "tasks stop here", NULL};
static const hm_option nth = {sizeof(hm_option), "nth", HM_OPTION_NUMBER, 0, "7",
                              "which one",       NULL};
static const hm_option fill = {sizeof(hm_option), "fill", HM_OPTION_BOOL, 0, "on",
                               "overwrite",       NULL};
static const hm_option guard = {sizeof(hm_option), "guard", HM_OPTION_RATIO, 0, "1/4096",
                                "how many",        NULL};
static const hm_option report = {sizeof(hm_option), "report", HM_OPTION_TEXT, 0, NULL,
                                 "file to write",   NULL};
static const hm_option level = {sizeof(hm_option), "level",    HM_OPTION_CHOICE,    0,
                                "checked",         "how much", "stats|checked|full"};
static const hm_option to = {sizeof(hm_option), "to", HM_OPTION_SPEC, 0, "default",
                             "the next host",   NULL};
/* As a module of a release before choices would have compiled it; the last member is not there to be read. */
static const hm_option older = {offsetof(hm_option, choices),
                                "older",
                                HM_OPTION_NUMBER,
                                0,
                                "1",
                                "from long ago",
                                (const char *)1};
static const hm_option *const all[] = {&hard,   &soft,  &nth, &fill, &guard,
                                       &report, &level, &to,  &older};

static const hm_host_info limit = {.size = sizeof(hm_host_info),
                                   .abi = HM_ABI,
                                   .kind = HM_KIND_LAYER,
                                   .name = "limit",
                                   .options = all,
                                   .option_count = COUNT(all)};

static hm_status read_spec(const char *spec, hm_option_values **values, hm_error *err)
{
    static hm__spec_element element;
    const char *cursor = spec;
    assert_int_equal(HM_OK, hm__spec_next(spec, &cursor, &element, err));
    return hm__options_read(&element, &limit, values, err);
}

static void options__read_numbers(void **state)
{
    static const struct {
        const char *spec;
        const char *option;
        uint64_t want;
    } cases[] = {
        {"limit:hard=0", "hard", 0},
        {"limit:hard=64", "hard", 64},
        {"limit:hard=64K", "hard", 64 << 10},
        {"limit:hard=64M", "hard", 64 << 20},
        {"limit:hard=3G", "hard", (uint64_t)3 << 30},
        {"limit:hard=007K", "hard", 7 << 10},
        {"limit:hard=18446744073709551615", "hard", UINT64_MAX},
        {"limit:hard=17179869183G", "hard", (uint64_t)17179869183u << 30},
        {"limit:hard=(5M)", "hard", 5 << 20},
        {"limit:nth=18446744073709551615", "nth", UINT64_MAX},
        {"limit:older=2", "older", 2},
        {"limit", "hard", 0}, /* not set */
        {"limit", "soft", 16 << 20},
        {"limit", "nth", 7},
        {"limit", "older", 1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_option_values *values;
        hm_error err;
        CHECK_ROW(cases[i].spec, read_spec(cases[i].spec, &values, &err) == HM_OK);
        CHECK_ROW(cases[i].spec,
                  hm__option_number(values, cases[i].option) == cases[i].want);
        CHECK_ROW(cases[i].spec, hm__option_given(values, cases[i].option) ==
                                     (strchr(cases[i].spec, ':') != NULL));
        hm__options_free(values);
    }
}

static void options__read_switches_and_ratios(void **state)
{
    static const struct {
        const char *value; /* ":fill" and so on */
        int want;
    } switches[] = {{"", 1},         {":fill", 1},      {":fill=yes", 1},
                    {":fill=no", 0}, {":fill=true", 1}, {":fill=false", 0},
                    {":fill=on", 1}, {":fill=off", 0},  {":fill=1", 1},
                    {":fill=0", 0}};
    static const struct {
        const char *value;
        double want;
    } ratios[] = {{"", 1.0 / 4096},
                  {":guard=0", 0},
                  {":guard=1", 1},
                  {":guard=0.01", 0.01},
                  {":guard=0.3", 0.3},
                  {":guard=1.0", 1},
                  {":guard=1/3", 1.0 / 3},
                  {":guard=0/5", 0},
                  {":guard=5/5", 1},
                  {":guard=0.999999999999999999999999", 1.0},
                  {":guard=0.000000000000000000000001", 0}};
    char spec[80];
    hm_option_values *values;
    (void)state;
    for (size_t i = 0; i < COUNT(switches); i++) {
        snprintf(spec, sizeof spec, "limit%s", switches[i].value);
        CHECK_ROW(spec, read_spec(spec, &values, NULL) == HM_OK);
        CHECK_ROW(spec, hm__option_bool(values, "fill") == switches[i].want);
        hm__options_free(values);
    }
    for (size_t i = 0; i < COUNT(ratios); i++) {
        snprintf(spec, sizeof spec, "limit%s", ratios[i].value);
        CHECK_ROW(spec, read_spec(spec, &values, NULL) == HM_OK);
        CHECK_ROW(spec, hm__option_ratio(values, "guard") == ratios[i].want);
        hm__options_free(values);
    }
}

static void options__read_texts(void **state)
{
    static const struct {
        const char *spec;
        const char *option;
        const char *want;
    } cases[] = {
        {"limit", "report", NULL},
        {"limit:report=/tmp/a b", "report", "/tmp/a b"},
        {"limit:report=()", "report", ""},
        {"limit:report=(a,b+c)", "report", "a,b+c"},
        {"limit:level=full,report=x", "report", "x"},
        {"limit", "level", "checked"},
        {"limit:level=full", "level", "full"},
        {"limit:level=stats", "level", "stats"},
        {"limit", "to", "default"},
        {"limit:to=(limit:to=(a+b)+c)", "to", "limit:to=(a+b)+c"},
        {"limit:to=mimalloc", "to", "mimalloc"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_option_values *values;
        CHECK_ROW(cases[i].spec, read_spec(cases[i].spec, &values, NULL) == HM_OK);
        const char *text = hm__option_text(values, cases[i].option);
        CHECK_ROW(cases[i].spec,
                  cases[i].want ? text && strcmp(text, cases[i].want) == 0 : !text);
        hm__options_free(values);
    }
}

static void options__refuse(void **state)
{
    static const struct {
        const char *spec;
        const char *where;
        const char *what;
    } cases[] = {
        {"limit:hard=64Q", "spec:12",
         "layer limit: size \"64Q\" not understood, expected a number then K, M or G"},
        {"limit:hard=64k", "spec:12", "not understood"},
        {"limit:hard=64KB", "spec:12", "not understood"},
        {"limit:hard=K", "spec:12", "not understood"},
        {"limit:hard=-1", "spec:12", "not understood"},
        {"limit:hard=()", "spec:13", "size \"\" not understood"},
        {"limit:hard=0x10", "spec:12", "not understood"},
        {"limit:hard=1.5G", "spec:12", "not understood"},
        {"limit:hard=1 K", "spec:12", "not understood"},
        {"limit:hard=18446744073709551616", "spec:12",
         "layer limit: size \"18446744073709551616\" is too large, expected less than "
         "2^64"},
        {"limit:hard=17179869184G", "spec:12", "too large"},
        {"limit:hard=99999999999999999999K", "spec:12", "too large"},
        {"limit:hard", "spec:7",
         "layer limit: option \"hard\" has no value, expected a number then K, M or G"},
        {"limit:level", "spec:7", "has no value, expected stats|checked|full"},
        {"limit:to", "spec:7", "has no value, expected a spec in parentheses"},
        {"limit:nth=1K", "spec:11", "number \"1K\" not understood, expected digits"},
        {"limit:nth=18446744073709551616", "spec:11", "too large"},
        {"limit:fill=maybe", "spec:12",
         "switch \"maybe\" not understood, expected yes or no"},
        {"limit:fill=Yes", "spec:12", "not understood"},
        {"limit:fill=()", "spec:13", "switch \"\" not understood"},
        {"limit:guard=2", "spec:13", "ratio \"2\" not understood, expected a fraction"},
        {"limit:guard=1/0", "spec:13", "not understood"},
        {"limit:guard=0/0", "spec:13", "not understood"},
        {"limit:guard=3/2", "spec:13", "not understood"},
        {"limit:guard=1.0001", "spec:13", "not understood"},
        {"limit:guard=1/", "spec:13", "not understood"},
        {"limit:guard=/2", "spec:13", "not understood"},
        {"limit:guard=.5", "spec:13", "not understood"},
        {"limit:guard=0.", "spec:13", "not understood"},
        {"limit:guard=1e-3", "spec:13", "not understood"},
        {"limit:guard=nan", "spec:13", "not understood"},
        {"limit:guard=99999999999999999999", "spec:13", "not understood"},
        {"limit:guard=1/99999999999999999999", "spec:13", "not understood"},
        {"limit:level=ful", "spec:13",
         "layer limit: \"ful\" is none of stats|checked|full; did you mean \"full\"?"},
        {"limit:level=full:nth=1", "spec:13",
         "\"full:nth=1\" is none of stats|checked|full; options are separated by ','"},
        {"limit:nth=1:hard=2", "spec:11",
         "expected digits; options are separated by ','"},
        {"limit:level=stats|full", "spec:13", "is none of stats|checked|full"},
        {"limit:level=()", "spec:14", "\"\" is none of"},
        {"limit:hrd=1", "spec:7",
         "layer limit has no option \"hrd\"; did you mean \"hard\"?"},
        {"limit:nth=1,Soft=1", "spec:13", "no option \"Soft\"; did you mean \"soft\"?"},
        {"limit:wibble", "spec:7",
         "layer limit has no option \"wibble\", expected hard, soft, nth, fill, guard"},
    };
    (void)state;
    const size_t base = hm__memory_in_use();
    for (size_t i = 0; i < COUNT(cases); i++) {
        hm_option_values *values = (void *)&limit;
        hm_error err = {HM_OK, 0, "", ""};
        const hm_status status = read_spec(cases[i].spec, &values, &err);
        if (status != HM_E_INVALID || values || err.status != status ||
            strcmp(err.where, cases[i].where) != 0 || !strstr(err.what, cases[i].what)) {
            fail_msg("%s: %d %s: %s", cases[i].spec, (int)status, err.where, err.what);
        }
        assert_int_equal(HM_E_INVALID, read_spec(cases[i].spec, &values, NULL));
    }
    assert_int_equal(base, hm__memory_in_use());
}

static void options__survive_a_shortage(void **state)
{
    hm_option_values *values;
    hm_error err;
    (void)state;
    const size_t base = hm__memory_in_use();
    hm__memory_fail_from(1);
    assert_int_equal(HM_E_NOMEM, read_spec("limit:hard=1", &values, &err));
    hm__memory_fail_from(0);
    assert_null(values);
    assert_string_equal("layer:limit", err.where);
    assert_int_equal(base, hm__memory_in_use());
}

static void options__none_is_all_defaults(void **state)
{
    static const hm_host_info bare = {
        .size = sizeof(hm_host_info), .kind = HM_KIND_HOST, .name = "bare"};
    static hm__spec_element element;
    const char spec[] = "bare:x";
    const char *cursor = spec;
    hm_option_values *values;
    hm_error err;
    (void)state;
    assert_int_equal(HM_OK, hm__options_read(NULL, &limit, &values, NULL));
    assert_int_equal(16 << 20, hm__option_number(values, "soft"));
    assert_int_equal(0, hm__option_given(values, "soft"));
    hm__options_free(values);
    assert_int_equal(HM_OK, hm__options_read(NULL, &bare, &values, NULL));
    hm__options_free(values);
    hm__options_free(NULL);
    assert_int_equal(HM_OK, hm__spec_next(spec, &cursor, &element, NULL));
    assert_int_equal(HM_E_INVALID, hm__options_read(&element, &bare, &values, &err));
    assert_string_equal("host bare has no option \"x\", expected none", err.what);
}

static void options__descriptions_are_checked(void **state)
{
    static const hm_option small = {
        offsetof(hm_option, help), "x", HM_OPTION_TEXT, 0, NULL, "h", NULL};
    static const hm_option unnamed = {
        sizeof(hm_option), NULL, HM_OPTION_TEXT, 0, NULL, "h", NULL};
    static const hm_option upper = {
        sizeof(hm_option), "Hard", HM_OPTION_TEXT, 0, NULL, "h", NULL};
    static const hm_option typeless = {sizeof(hm_option), "x", 0, 0, NULL, "h", NULL};
    static const hm_option newer = {sizeof(hm_option), "x", 8, 0, NULL, "h", NULL};
    static const hm_option flagged = {
        sizeof(hm_option), "x", HM_OPTION_TEXT, 4, NULL, "h", NULL};
    static const hm_option helpless = {
        sizeof(hm_option), "x", HM_OPTION_TEXT, 0, NULL, NULL, NULL};
    static const hm_option choiceless = {
        sizeof(hm_option), "x", HM_OPTION_CHOICE, 0, NULL, "h", NULL};
    static const hm_option old_choice = {
        offsetof(hm_option, choices), "x", HM_OPTION_CHOICE, 0, NULL, "h", "a|b"};
    static const hm_option bad_default = {
        sizeof(hm_option), "x", HM_OPTION_BYTES, 0, "64Q", "h", NULL};
    static const hm_option bad_choice = {
        sizeof(hm_option), "x", HM_OPTION_CHOICE, 0, "d", "h", "a|b"};
    static const hm_option bad_number = {
        sizeof(hm_option), "x", HM_OPTION_NUMBER, 0, "", "h", NULL};
    static const struct {
        const hm_option *option;
        const char *what;
    } cases[] = {
        {NULL, "layer limit: option 2 is NULL"},
        {&small, "layer limit: option 2 is too small a struct"},
        {&unnamed, "name of option 2 is not lower case"},
        {&upper, "name of option 2 is not lower case"},
        {&hard, "option \"hard\" is described twice"},
        {&typeless, "option \"x\" is of type 0"},
        {&newer, "option \"x\" is of type 8"},
        {&flagged, "with flags 0x4, not known here"},
        {&helpless, "option \"x\" has no help"},
        {&choiceless, "option \"x\" has no choices"},
        {&old_choice, "option \"x\" has no choices"},
        {&bad_default, "layer limit: default of \"x\": size \"64Q\" not understood"},
        {&bad_choice, "layer limit: default of \"x\": \"d\" is none of a|b"},
        {&bad_number, "layer limit: default of \"x\": number \"\" not understood"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const hm_option *const list[] = {&hard, cases[i].option};
        hm_host_info info = limit;
        hm_error err = {HM_OK, 0, "", ""};
        info.options = list;
        info.option_count = COUNT(list);
        const hm_status status = hm__options_check(&info, "module:x", &err);
        if (status != HM_E_INVALID || strcmp(err.where, "module:x") != 0 ||
            !strstr(err.what, cases[i].what)) {
            fail_msg("%s: %d %s", cases[i].what, (int)status, err.what);
        }
    }
    hm_host_info info = limit;
    hm_error err;
    assert_int_equal(HM_OK, hm__options_check(&info, "x", NULL));
    info.option_count = 257;
    assert_int_equal(HM_E_INVALID, hm__options_check(&info, "x", &err));
    assert_string_equal("layer limit: more than 256 options", err.what);
    info.option_count = 1;
    info.options = NULL;
    assert_int_equal(HM_E_INVALID, hm__options_check(&info, "x", &err));
    assert_string_equal("layer limit: options is NULL", err.what);
    info.option_count = 0;
    assert_int_equal(HM_OK, hm__options_check(&info, "x", NULL));
}

/* Ends the child by a panic, whose text is read back. */
static void expect_panic(int which, const char *want)
{
    int ends[2];
    char said[300] = "";
    assert_int_equal(0, pipe(ends));
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        hm_option_values *values;
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], 2);
        hm__options_read(NULL, &limit, &values, NULL);
        if (which == 0) {
            hm__option_number(values, "hrd");
        } else {
            hm__option_bool(values, "soft");
        }
        _exit(0);
    }
    int status;
    close(ends[1]);
    size_t filled = 0;
    for (ssize_t got;
         filled + 1 < sizeof said &&
         (got = read(ends[0], said + filled, sizeof said - 1 - filled)) > 0;) {
        filled += (size_t)got;
    }
    close(ends[0]);
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    if (!strstr(said, want)) {
        fail_msg("%s", said);
    }
}

static void options__asking_wrongly_is_a_panic(void **state)
{
    (void)state;
    expect_panic(0, "layer limit asks for option \"hrd\", which it describes nowhere");
    expect_panic(
        1, "layer limit asks for option \"soft\", which it describes as another type");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options__read_numbers),
        cmocka_unit_test(options__read_switches_and_ratios),
        cmocka_unit_test(options__read_texts),
        cmocka_unit_test(options__refuse),
        cmocka_unit_test(options__survive_a_shortage),
        cmocka_unit_test(options__none_is_all_defaults),
        cmocka_unit_test(options__descriptions_are_checked),
        cmocka_unit_test(options__asking_wrongly_is_a_panic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
