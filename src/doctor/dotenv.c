/* .env files: as `docker run --env-file` and Compose read them. */
#include "doctor/files_kinds.h"

static void check_line(struct files_ctx *c, uint32_t line)
{
    struct str raw = files_line(c, line);
    size_t base = c->line_at[line - 1];
    struct str s = str_trim(raw);
    size_t at = base + (size_t)(s.len > 0 ? s.ptr - raw.ptr : 0);
    struct files_env e = {.at = at, .known = true};

    if (s.len == 0 || s.ptr[0] == '#') {
        return;
    }
    if (str_starts(s, STR("export "))) {
        files_wrong(c, at, "env-export", STR("`export` in an .env file"),
                    STR("docker run --env-file reads \"export NAME\" as the variable's name and "
                        "refuses or loses it; only shells know export."),
                    STR("Write NAME=value."));
        files_replace(c, at, at + 7, STR(""));
        s = str_trim(str_slice(s, 7, s.len));
        e.at = (size_t)(s.ptr - c->text.ptr);
    }
    if (!files_env_split(s, &e.name, &e.value)) {
        size_t eq = str_find_byte(s, '=', 0);
        struct str name = str_trim(str_slice(s, 0, eq == SIZE_MAX ? s.len : eq));

        if (eq != SIZE_MAX) {
            files_wrong(c, at, "assignment-blank",
                        files_text(c, "blanks around = in the line of %.*s", STR_ARG(name)),
                        STR("The blank becomes part of the name or the value, or the line is "
                            "refused."),
                        STR("Write NAME=value without blanks."));
            files_replace(c, at, at + s.len,
                          files_text(c, "%.*s=%.*s", STR_ARG(name),
                                     STR_ARG(str_trim(str_slice(s, eq + 1, s.len)))));
        } else if (str_find_byte(s, ':', 0) != SIZE_MAX) {
            files_wrong(c, at, "env-colon", STR("NAME: value in an .env file"),
                        STR("This is YAML; an .env file has NAME=value, so the whole line becomes "
                            "a name without a value."),
                        STR("Write NAME=value."));
        }
        return;
    }
    if (e.value.len > 0 && (e.value.ptr[0] == ' ' || e.value.ptr[0] == '\t')) {
        files_wrong(c, at, "assignment-blank",
                    files_text(c, "a blank behind = in the line of %.*s", STR_ARG(e.name)),
                    STR("The blank becomes part of the value."),
                    STR("Write NAME=value without blanks."));
    }
    e.begin = (size_t)(e.value.ptr - c->text.ptr);
    e.end = e.begin + e.value.len;
    e.keeps_quot = true;
    e.known = str_find_byte(e.value, '$', 0) == SIZE_MAX;
    if (e.value.len >= 2 && (e.value.ptr[0] == '"' || e.value.ptr[0] == '\'')) {
        /* Right for Compose, wrong for docker run --env-file: the file does not say which. */
        files_advise(c, at, STR("Compose removes these quotes, docker run --env-file keeps them"));
        e.keeps_quot = false;
        e.value = str_slice(e.value, 1, e.value.len - 1);
    } else if (str_find(e.value, STR(" #"), 0) != SIZE_MAX) {
        files_wrong(c, at, "env-comment",
                    files_text(c, "a comment behind the value of %.*s", STR_ARG(e.name)),
                    STR("docker run --env-file takes everything behind = as the value, the "
                        "comment included."),
                    STR("Put the comment on a line of its own."));
        files_replace(c, e.begin + str_find(e.value, STR(" #"), 0), e.end, STR(""));
        e.value = str_slice(e.value, 0, str_find(e.value, STR(" #"), 0));
        e.end = e.begin + e.value.len;
    }
    files_env_check(c, &e, c->vendors, ENGINE_NONE);
}

MUST_USE enum status dotenv_check(struct files_ctx *c, struct error *err)
{
    (void)err;
    if (files_has_text(c->text, "ASCEND_") || files_has_text(c->text, "HCCL_")) {
        c->vendors |= VENDOR_ASCEND;
    }
    for (uint32_t i = 1; i <= c->n_lines; i++) {
        check_line(c, i);
    }
    return OK;
}
