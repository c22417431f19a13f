#include "app/config_sources.h"
#include "app/config_auth.h"

static enum status load_auth(const struct config_sources *sources,
                             void (*on_report)(void *user, const struct config_report *report),
                             void *user, struct settings *settings)
{
    struct config_file_options options = {.path = sources->auth_path};
    struct config_report report;
    enum status rc;

    config_report_init(&report, options.path);
    rc = config_auth_load(&options, &report, settings);
    on_report(user, &report);
    config_report_done(&report);
    return rc;
}

enum status config_sources_load(const struct config_sources *sources,
                                void (*on_report)(void *user, const struct config_report *report),
                                void *user, struct settings **ret_settings)
{
    struct config_file file = {0};
    struct config_report report;
    enum status rc;

    config_report_init(&report, sources->file.path);
    rc = config_file_load(&sources->file, &report, &file);
    on_report(user, &report);
    config_report_done(&report);
    if (rc == OK && sources->auth_path != NULL) {
        rc = load_auth(sources, on_report, user, file.settings);
    }
    if (rc != OK) {
        config_file_free(file.settings);
        return rc;
    }
    *ret_settings = file.settings;
    return OK;
}
