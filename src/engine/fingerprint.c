#include "engine/fingerprint.h"

#include <elf.h>
#include <link.h>
#include <string.h>

#define BUILD_ID_SHOWN 4 // bytes, eight hexadecimal digits

#ifndef KONTOR_VERSION
#define KONTOR_VERSION "0.1.0"
#endif

struct build_id {
    uint8_t bytes[BUILD_ID_SHOWN];
    bool found;
};

static size_t padded(size_t n)
{
    return (n + 3) & ~(size_t)3;
}

/* Notes are header, name, descriptor, each padded to 4 bytes; ours are the linker's, so
 * well-formed, but a length that runs over the segment ends the search. */
static void search_notes(const uint8_t *at, size_t n_bytes, struct build_id *id)
{
    while (n_bytes >= sizeof(ElfW(Nhdr)) && !id->found) {
        ElfW(Nhdr) note;
        size_t name_end;
        size_t end;

        memcpy(&note, at, sizeof(note));
        name_end = sizeof(note) + padded(note.n_namesz);
        end = name_end + padded(note.n_descsz);
        if (end > n_bytes) {
            return;
        }
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
            memcmp(at + sizeof(note), "GNU", 4) == 0 && note.n_descsz >= BUILD_ID_SHOWN) {
            memcpy(id->bytes, at + name_end, BUILD_ID_SHOWN);
            id->found = true;
        }
        at += end;
        n_bytes -= end;
    }
}

/* The first object is the program itself; returning 1 ends the walk. */
static int on_object(struct dl_phdr_info *info, size_t size, void *user)
{
    (void)size;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];

        if (p->p_type == PT_NOTE) {
            const uintptr_t address = info->dlpi_addr + p->p_vaddr;
            const uint8_t *notes;

            memcpy(&notes, &address, sizeof(notes));
            search_notes(notes, p->p_memsz, user);
        }
    }
    return 1;
}

void fingerprint_write(struct buf *out, const char *level, const char *dtype)
{
    struct build_id id = {0};

    dl_iterate_phdr(on_object, &id);
    buf_append_c(out, "fp_kontor_");
    if (id.found) {
        for (size_t i = 0; i < BUILD_ID_SHOWN; i++) {
            buf_printf(out, "%02x", id.bytes[i]);
        }
    } else {
        buf_append_c(out, KONTOR_VERSION);
    }
    buf_printf(out, "_%s_%s", level, dtype);
}
