/* app: `tandem version`. */
#include <stdio.h>

#include "app/app.h"
#include "app/cli.h"

int td_app_version(int argc, char **argv)
{
    int status = TD_CLI_OK;
    if (td_cli_parse("version", "", NULL, 0, NULL, argc, argv, NULL, &status)) {
        printf("tandem %s\n", TD_VERSION);
    }
    return status;
}
