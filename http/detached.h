/* placeholder until detached.c exists */
#ifndef FEALTY_DETACHED_H
#define FEALTY_DETACHED_H
#include "http/exchange.h"
struct mg_connection;
void exchange_finish(exchange_t *self, command_t *command, uint16_t partition);
#define detached_wait(connection) ((void)(connection))
#define detached_connection_close NULL
#endif
