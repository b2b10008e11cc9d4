/* tool_version.c - `fealty version`: what this binary is made of */
#include "node/tools.h"

#include "protocol/record.h"
#include "storage/store.h"

#include <stdio.h>

int tool_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    (void)printf("fealty %s\nstore format %d, record version %d\ncompiled by %s\n", FEALTY_VERSION,
                 STORE_FORMAT_VERSION, RECORD_VERSION, __VERSION__);
    return 0;
}
