/* main.c - runs the unit tests; the process that only watches them ends without a look for leaks
 *
 * Criterion 2.4.1 runs each test in a process of its own, which looks for leaks at its end. Its own main() then lets the
 * watching process look as well, and there the library itself loses 48 bytes now and then.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct criterion_test_set *tests = criterion_initialize();
    int result = 0;

    if (criterion_handle_args(argc, argv, true))
        result = criterion_run_all_tests(tests) ? 0 : 1;
    criterion_finalize(tests);
    (void)fflush(NULL);
    _exit(result);
}
