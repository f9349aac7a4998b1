/* What the static C library would drag in and the command has no use for.
 * Linked before it, so that its own are left out. */

#include <errno.h>
#include <pthread.h>

/* Asked by Rust's standard library alone, to tell an overflow of the stack from
 * another fault; it reads /proc/self/maps with all of scanf (97 KiB). Rust
 * does without. */
int pthread_getattr_np(pthread_t thread, pthread_attr_t *attr)
{
    (void)thread;
    (void)attr;
    return ENOSYS;
}

/* The errors of the system, untranslated: there are no catalogues in an empty
 * image, and reading them takes conversion of character sets (100 KiB). */
char *__dcgettext(const char *domain, const char *text, int category)
{
    (void)domain;
    (void)category;
    return (char *)text;
}

char *dcgettext(const char *domain, const char *text, int category)
{
    return __dcgettext(domain, text, category);
}
