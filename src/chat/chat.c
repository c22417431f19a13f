#include "chat/chat.h"
#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void chat_sampling_default(struct chat_sampling *s)
{
    memset(s, 0, sizeof(*s));
    s->temperature = 1.0;
    s->top_p = 1.0;
    s->skip_special_tokens = true;
}

const char *chat_finish_name(enum chat_finish f)
{
    switch (f) {
    case CHAT_FINISH_STOP:
        return "stop";
    case CHAT_FINISH_LENGTH:
        return "length";
    case CHAT_FINISH_TOOL_CALLS:
        return "tool_calls";
    case CHAT_FINISH_ABORT:
        return "abort";
    }
    CHECK(!"unknown finish");
}

void chat_failure_set(struct chat_failure *f, int http_status, const char *type, const char *code,
                      const char *param, const char *fmt, ...)
{
    va_list args;

    memset(f, 0, sizeof(*f));
    f->http_status = http_status;
    f->type = type;
    f->code = code;
    if (param != NULL) {
        snprintf(f->param, sizeof(f->param), "%s", param);
    }
    va_start(args, fmt);
    vsnprintf(f->message, sizeof(f->message), fmt, args);
    va_end(args);
}
