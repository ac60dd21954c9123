/* tandem: one program, its subcommands in one table. */
#include "app/app.h"
#include "app/cli.h"

static const struct td_cli_command commands[] = {
#define COMMAND(name, usage, summary) {#name, usage, summary, td_app_##name},
#include "app/commands.def"
#undef COMMAND
};

int main(int argc, char **argv)
{
    return td_cli_main(commands, TD_COUNT(commands), argc, argv);
}
