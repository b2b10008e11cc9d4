/* socket.c - looks through /proc/self/fd */
#include "http/socket.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int socket_find(const char *remote_address, int remote_port, int local_port)
{
    struct in_addr wanted;
    const struct dirent *entry;
    DIR *directory;
    int found = -1;

    if (inet_pton(AF_INET, remote_address, &wanted) != 1)
        return -1;
    directory = opendir("/proc/self/fd");
    if (directory == NULL)
        return -1;
    while (found < 0 && (entry = readdir(directory)) != NULL) {
        char *end;
        long descriptor = strtol(entry->d_name, &end, 10);
        struct sockaddr_in address = {.sin_family = AF_UNSPEC};
        socklen_t bytes = sizeof address;

        if (end == entry->d_name || *end != '\0')
            continue;
        if (getpeername((int)descriptor, (struct sockaddr *)&address, &bytes) != 0 ||
            address.sin_family != AF_INET || address.sin_addr.s_addr != wanted.s_addr ||
            ntohs(address.sin_port) != remote_port)
            continue;
        bytes = sizeof address;
        if (getsockname((int)descriptor, (struct sockaddr *)&address, &bytes) == 0 &&
            ntohs(address.sin_port) == local_port)
            found = (int)descriptor;
    }
    closedir(directory);
    return found;
}

int socket_waiting(int descriptor)
{
    int bytes = 0;

    return descriptor >= 0 && ioctl(descriptor, FIONREAD, &bytes) == 0 ? bytes : 0;
}

uint64_t socket_received(int descriptor)
{
    struct tcp_info info = {0};
    socklen_t bytes = sizeof info;

    if (descriptor < 0 || getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &bytes) != 0 ||
        bytes < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received)
        return 0;
    return info.tcpi_bytes_received;
}

int socket_discard(int descriptor, int bytes_max)
{
    char room[16384];
    int total = 0;

    while (descriptor >= 0 && total < bytes_max) {
        ssize_t n = recv(descriptor, room, sizeof room, MSG_DONTWAIT);

        if (n <= 0)
            break;
        total += (int)n;
    }
    return total;
}
