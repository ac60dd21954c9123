/* app: `tandem check` reads rule files, `tandem test` proves them. */
#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "app/cli.h"
#include "app/file.h"
#include "rules/rules.h"

enum { FILE_BYTES_MAX = 64 << 20, REPORT_BYTES_MAX = 4 << 20 };

struct files {
    struct td_rules_file at[TD_CLI_LIST_MAX];
    struct td_buf text[TD_CLI_LIST_MAX];
    size_t count;
};

static bool read_files(const char *command, const struct td_cli_list *names, struct files *files)
{
    struct td_buf why;
    td_buf_init(&why, 4096);
    bool good = true;
    for (size_t i = 0; i < names->count && good; i++) {
        td_buf_init(&files->text[i], FILE_BYTES_MAX);
        files->count++;
        good = td_app_file_read(names->at[i], &files->text[i], &why) == TD_OK;
        files->at[i] =
            (struct td_rules_file){td_slice_of(names->at[i]), td_buf_slice(&files->text[i])};
    }
    if (!good) {
        (void)fprintf(stderr, "tandem %s: %.*s\n", command, (int)why.n, (const char *)why.p);
    }
    td_buf_fini(&why);
    return good;
}

static void free_files(struct files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        td_buf_fini(&files->text[i]);
    }
}

/* The files named on the command line, read; false: *status says why not. */
static bool begin(const char *usage, const char *more, int argc, char **argv, struct files *files,
                  int *status)
{
    static struct td_cli_list names;
    names.count = 0;
    files->count = 0;
    if (!td_cli_parse(argv[0], usage, NULL, 0, more, argc, argv, &names, status)) {
        return false;
    }
    if (names.count == 0) {
        (void)fprintf(stderr, "tandem %s: no file is named; write: tandem %s %s\n", argv[0],
                      argv[0], usage);
        *status = TD_CLI_USAGE;
        return false;
    }
    if (!read_files(argv[0], &names, files)) {
        free_files(files);
        *status = TD_CLI_FAILED;
        return false;
    }
    return true;
}

int td_app_check(int argc, char **argv)
{
    static struct files files;
    struct td_rules *rules;
    struct td_buf why;
    int status;
    if (!begin("FILE...", "Reads rule files together and tells what is wrong in them.", argc, argv,
               &files, &status)) {
        return status;
    }
    td_buf_init(&why, REPORT_BYTES_MAX);
    struct td_rules_config config = {.files = files.at, .file_count = files.count};
    enum td_err err = td_rules_load(&config, &rules, &why);
    (void)td_app_file_write(stderr, td_buf_slice(&why));
    if (err == TD_OK) {
        (void)printf("%zu statements, %zu filters: in order\n", td_rules_count(rules),
                     td_rules_filter_count(rules));
        td_rules_free(rules);
    }
    td_buf_fini(&why);
    free_files(&files);
    return err == TD_OK ? TD_CLI_OK : TD_CLI_FAILED;
}

int td_app_test(int argc, char **argv)
{
    static struct files files;
    struct td_rules_tests tests;
    struct td_buf report;
    int status;
    if (!begin("FILE...", "Runs the TEST blocks of rule files in virtual time.", argc, argv, &files,
               &status)) {
        return status;
    }
    td_buf_init(&report, REPORT_BYTES_MAX);
    struct td_rules_config config = {.files = files.at, .file_count = files.count};
    enum td_err err = td_rules_test(&config, &tests, &report);
    (void)td_app_file_write(stdout, td_buf_slice(&report));
    if (err == TD_OK) {
        (void)printf("%u passed, %u failed\n", tests.passed, tests.failed);
    }
    td_buf_fini(&report);
    free_files(&files);
    return err == TD_OK && tests.failed == 0 ? TD_CLI_OK : TD_CLI_FAILED;
}
