/* endpoint.c - URL, name resolution, non-blocking connect */
#include "bench/endpoint.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool endpoint_parse(endpoint_t *self, const char *url, problem_t *problem)
{
    static const char scheme[] = "http://";
    char name[200];
    char port[8] = "80";

    memset(self, 0, sizeof(*self));
    if (strlen(url) >= sizeof(self->url))
        return problem_set(problem, "the URL %.40s... is too long", url);
    if (strncmp(url, scheme, sizeof(scheme) - 1) != 0)
        return problem_set(problem,
                           "the URL %s must start with http:// (for https, aim at the node "
                           "behind the proxy)",
                           url);
    memcpy(self->url, url, strlen(url) + 1);

    const char *host = url + sizeof(scheme) - 1;
    size_t host_bytes = strcspn(host, "/?#");
    const char *path = host + host_bytes;
    if (host_bytes == 0 || host_bytes >= sizeof(self->host) || *path == '?' || *path == '#')
        return problem_set(problem, "the URL %s is not http://HOST:PORT", url);
    memcpy(self->host, host, host_bytes);
    size_t path_bytes = strlen(path);
    while (path_bytes > 0 && path[path_bytes - 1] == '/')
        path_bytes--;
    if (path_bytes >= sizeof(self->prefix))
        return problem_set(problem, "the path of the URL %s is too long", url);
    memcpy(self->prefix, path, path_bytes);

    /* [::1]:8080, 127.0.0.1:8080, name */
    const char *begin = self->host;
    const char *end = begin + host_bytes;
    const char *colon = NULL;
    if (*begin == '[') {
        const char *bracket = strchr(begin, ']');
        if (bracket == NULL)
            return problem_set(problem, "the URL %s has [ without ]", url);
        colon = bracket[1] == ':' ? bracket + 1 : NULL;
        begin++;
        end = bracket;
    } else {
        colon = strchr(begin, ':');
        end = colon != NULL ? colon : end;
    }
    memcpy(name, begin, (size_t)(end - begin));
    name[end - begin] = '\0';
    if (colon != NULL) {
        if (strlen(colon + 1) >= sizeof(port) || colon[1] == '\0')
            return problem_set(problem, "the URL %s has no proper port", url);
        memcpy(port, colon + 1, strlen(colon + 1) + 1);
    }

    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(name, port, &hints, &found);
    if (rc != 0)
        return problem_set(problem, "cannot resolve %s: %s", self->host, gai_strerror(rc));
    memcpy(&self->address, found->ai_addr, found->ai_addrlen);
    self->address_bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

int endpoint_connect(const endpoint_t *self, double limit_s, problem_t *problem)
{
    int fd = endpoint_connect_start(self);

    if (fd < 0) {
        problem_set(problem, "cannot connect to %s: %s", self->url, strerror(errno));
        return -1;
    }
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    int rc;
    do
        rc = poll(&wait, 1, (int)(limit_s * 1000.0));
    while (rc < 0 && errno == EINTR);
    if (rc == 1 && endpoint_connected(fd))
        return fd;
    problem_set(problem, "cannot connect to %s: %s", self->url,
                rc == 0 ? "no answer in time" : strerror(errno));
    close(fd);
    return -1;
}

int endpoint_connect_start(const endpoint_t *self)
{
    int one = 1;
    int fd = socket(self->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    /* Without this a request in two writes waits for the acknowledgement of the first. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0 &&
        (connect(fd, (const struct sockaddr *)&self->address, self->address_bytes) == 0 ||
         errno == EINPROGRESS))
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

bool endpoint_connected(int fd)
{
    int error = 0;
    socklen_t bytes = sizeof(error);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0)
        return false;
    errno = error;
    return error == 0;
}
