/* app: the program. Command line, configuration, the loop over linux/, and what is assembled. */
#ifndef TD_APP_H
#define TD_APP_H

#define TD_VERSION "0.1.0"

/* One function per subcommand: argv[0] is its name; gives the exit status (app/cli.h). */
#define COMMAND(name, usage, summary) int td_app_##name(int argc, char **argv);
#include "app/commands.def"
#undef COMMAND

#endif
