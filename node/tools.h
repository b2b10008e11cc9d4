/* tools.h - the subcommands of the one binary
 *
 * Contract   Each gets its own name as argv[0] and returns the exit code: 0 good, 1 wrong usage, 2 refused, 74 disk or
 *            network failed; `verify` 3 when the books do not hold.
 * Threads    The process's main thread.
 * Ownership  Nothing is kept.
 * Units      Nothing to say.
 * Errors     One sentence on standard error: what is wrong, and the way out.
 */
#ifndef FEALTY_TOOLS_H
#define FEALTY_TOOLS_H

#define FEALTY_VERSION "0.1.0"

int tool_node(int argc, char **argv);
int tool_import(int argc, char **argv);
int tool_export(int argc, char **argv);
int tool_verify(int argc, char **argv);
int tool_backup(int argc, char **argv);
int tool_restore(int argc, char **argv);
int tool_cluster(int argc, char **argv);
int tool_migrate(int argc, char **argv);
int tool_partition(int argc, char **argv);
int tool_sim(int argc, char **argv);
int tool_user(int argc, char **argv);
int tool_version(int argc, char **argv);

#endif
