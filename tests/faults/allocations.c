/* In front of glibc's allocator (LD_PRELOAD): fails an allocation on demand, and counts the blocks that live. */
#include <errno.h>
#include <stddef.h>

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

static __thread long until_failure; /* of this thread; 0: none fails */
static long blocks;

void fail_at(long k) { until_failure = k; }
long failure_is_ahead(void) { return until_failure; }
long living(void) { return __atomic_load_n(&blocks, __ATOMIC_RELAXED); }

static int fails(void) {
  if (until_failure == 0 || --until_failure > 0) return 0;
  errno = ENOMEM;
  return 1;
}

static void* counted(void* block) {
  if (block) __atomic_fetch_add(&blocks, 1, __ATOMIC_RELAXED);
  return block;
}

void* malloc(size_t size) { return fails() ? NULL : counted(__libc_malloc(size)); }
void* calloc(size_t n, size_t size) { return fails() ? NULL : counted(__libc_calloc(n, size)); }
void* memalign(size_t alignment, size_t size) { return fails() ? NULL : counted(__libc_memalign(alignment, size)); }
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void** block, size_t alignment, size_t size) {
  *block = memalign(alignment, size);
  return *block ? 0 : ENOMEM;
}

void* realloc(void* block, size_t size) {
  if (!block) return malloc(size);
  return fails() ? NULL : __libc_realloc(block, size);
}

void free(void* block) {
  if (block) __atomic_fetch_sub(&blocks, 1, __ATOMIC_RELAXED);
  __libc_free(block);
}
