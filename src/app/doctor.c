/* app: `tandem doctor`. Reads all that a data directory holds and names what is damaged. */
#include <stdio.h>

#include "app/app.h"
#include "app/cli.h"
#include "app/file.h"
#include "app/loop.h"
#include "store/store.h"

static int answer(enum td_err err, const struct td_buf *report, const struct td_store_health *h,
                  const char *dir)
{
    (void)td_app_file_write(err == TD_OK ? stdout : stderr, td_buf_slice(report));
    if (err != TD_OK) {
        return TD_CLI_FAILED;
    }
    printf("%s: %llu records in %llu log segments, %llu entries of state, %llu rows in %llu chunks "
           "in %llu files: %s\n",
           dir, (unsigned long long)h->records, (unsigned long long)h->segments,
           (unsigned long long)h->entries, (unsigned long long)h->rows,
           (unsigned long long)h->chunks, (unsigned long long)h->files,
           h->damage == 0 ? "sound" : "damaged");
    return h->damage == 0 ? TD_CLI_OK : TD_CLI_FAILED;
}

int td_app_doctor(int argc, char **argv)
{
    const char *dir = "data";
    const struct td_cli_option options[] = {
        {"--data", 0, TD_CLI_TEXT, &dir, "DIR", "the data directory [data]", 0, 0},
    };
    int status;
    if (!td_cli_parse("doctor", "[--data DIR]", options, TD_COUNT(options),
                      "Checks log, state and history of a hub that does not run. Exit status 1: "
                      "something is damaged.\n",
                      argc, argv, NULL, &status)) {
        return status;
    }
    struct td_linux *l = td_app_loop_new();
    if (l == NULL) {
        return TD_CLI_FAILED;
    }
    struct td_buf report;
    struct td_store_health health;
    td_buf_init(&report, 1 << 20);
    enum td_err err = td_store_check(td_linux_sys(l), dir, &report, &health);
    status = answer(err, &report, &health, dir);
    td_buf_fini(&report);
    td_app_loop_free(l);
    return status;
}
