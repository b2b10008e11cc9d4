/* questions.c - a small pool of threads with a bounded queue */
#include "cluster/questions.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 16

struct questions {
    question_fn run;
    void *state;
    const clock_source_t *clock;
    size_t waiting_max;
    size_t answer_bytes_max;
    pthread_t threads[THREADS_MAX];
    size_t thread_count;
    pthread_mutex_t lock; /* guards the members below */
    pthread_cond_t posted;
    request_t *first;
    request_t *last;
    size_t waiting;
    bool stopping;
};

static void *questions_main(void *argument);
static request_t *take_next(questions_t *self);
static void answer(questions_t *self, request_t *question);

errcode_t questions_open(questions_t **self_p, size_t threads, size_t waiting_max,
                         size_t answer_bytes_max, const clock_source_t *clock, question_fn run,
                         void *state, err_t *err)
{
    questions_t *self = memory_zalloc(sizeof *self);

    INVARIANT(threads <= THREADS_MAX);
    self->run = run;
    self->state = state;
    self->clock = clock;
    self->waiting_max = waiting_max;
    self->answer_bytes_max = answer_bytes_max;
    INVARIANT(pthread_mutex_init(&self->lock, NULL) == 0);
    INVARIANT(pthread_cond_init(&self->posted, NULL) == 0);
    *self_p = self;
    for (; self->thread_count < threads; self->thread_count++) {
        int failed = pthread_create(&self->threads[self->thread_count], NULL, questions_main, self);

        if (failed != 0) {
            (void)err_set(err, ERR_IO, "no thread for questions: %s", strerror(failed));
            questions_destroy(self_p);
            return ERR_IO;
        }
    }
    return ERR_NONE;
}

void questions_stop(questions_t *self)
{
    (void)pthread_mutex_lock(&self->lock);
    self->stopping = true;
    (void)pthread_cond_broadcast(&self->posted);
    (void)pthread_mutex_unlock(&self->lock);
    for (; self->thread_count > 0; self->thread_count--)
        (void)pthread_join(self->threads[self->thread_count - 1], NULL);
}

void questions_destroy(questions_t **self_p)
{
    questions_t *self = *self_p;

    if (self == NULL)
        return;
    questions_stop(self);
    INVARIANT(self->first == NULL);
    (void)pthread_cond_destroy(&self->posted);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
    *self_p = NULL;
}

errcode_t questions_post(questions_t *self, request_t *question, err_t *err)
{
    errcode_t rc = ERR_NONE;

    (void)pthread_mutex_lock(&self->lock);
    if (self->stopping)
        rc = err_set(err, ERR_UNREACHABLE, "the node is stopping");
    else if (self->waiting >= self->waiting_max)
        rc = err_set(err, ERR_OVERLOADED, NULL);
    if (rc == ERR_NONE) {
        request_retain(question);
        question->next = NULL;
        if (self->first == NULL)
            self->first = question;
        else
            self->last->next = question;
        self->last = question;
        self->waiting++;
        (void)pthread_cond_signal(&self->posted);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return rc;
}

static void *questions_main(void *argument)
{
    questions_t *self = argument;
    request_t *question;

    while ((question = take_next(self)) != NULL) {
        answer(self, question);
        request_release(question);
    }
    return NULL;
}

/* NULL when stopping and nothing waits any more. */
static request_t *take_next(questions_t *self)
{
    request_t *question;

    (void)pthread_mutex_lock(&self->lock);
    while (self->first == NULL && !self->stopping)
        (void)pthread_cond_wait(&self->posted, &self->lock);
    question = self->first;
    if (question != NULL) {
        self->first = question->next;
        self->waiting--;
    }
    (void)pthread_mutex_unlock(&self->lock);
    return question;
}

static void answer(questions_t *self, request_t *question)
{
    buffer_t out;
    err_t err = {.code = ERR_NONE};
    bool stopping;

    (void)pthread_mutex_lock(&self->lock);
    stopping = self->stopping;
    (void)pthread_mutex_unlock(&self->lock);
    /* One byte more than may travel: then the query ran into the limit, and not by chance exactly up to it. */
    buffer_init(&out, self->answer_bytes_max + 1);
    if (stopping)
        (void)err_set(&err, ERR_UNREACHABLE, "the node is stopping");
    else if (question->deadline_us <= clock_wall_us(self->clock))
        (void)err_set(&err, ERR_UNREACHABLE, "the question came too late");
    else
        err.code = self->run(self->state, question->partition, question->command,
                             question->command_bytes, &out, &err);
    if (out.failed || out.size > self->answer_bytes_max)
        (void)err_set(&err, ERR_TOO_LARGE, "an answer above %zu bytes cannot travel between nodes",
                      self->answer_bytes_max);
    buffer_init(&question->result, self->answer_bytes_max);
    request_complete(question, out.bytes, err.code == ERR_NONE ? out.size : 0, &err);
    buffer_free(&out);
}
