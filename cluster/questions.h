/* questions.h - threads that answer the questions of other nodes
 *
 * Contract   A question is a request_t whose command is an encoded query; it is completed by one of the threads.
 * Threads    questions_post: any.
 * Ownership  A posted question gets one more reference until it is completed.
 * Units      Microseconds.
 * Errors     ERR_OVERLOADED when too many wait, ERR_UNREACHABLE when stopping; answers above the limit: ERR_TOO_LARGE.
 */
#ifndef FEALTY_QUESTIONS_H
#define FEALTY_QUESTIONS_H

#include "actors/request.h"
#include "protocol/clock.h"

typedef struct questions questions_t;

typedef errcode_t (*question_fn)(void *state, uint16_t partition, const void *query, size_t n,
                                 buffer_t *answer, err_t *err);

errcode_t questions_open(questions_t **self_p, size_t threads, size_t waiting_max,
                         size_t answer_bytes_max, const clock_source_t *clock, question_fn run,
                         void *state, err_t *err);
/* Completes those that wait with ERR_UNREACHABLE, joins the threads. */
void questions_stop(questions_t *self);
void questions_destroy(questions_t **self_p);
errcode_t questions_post(questions_t *self, request_t *question, err_t *err);

#endif
