#include "app/config_auth.h"
#include "app/config_read.h"

static void apply(const struct config_file_options *options, struct str text,
                  struct config_report *report, struct settings *settings)
{
    struct settings changed = *settings;
    struct config_reader reader = {.arena = settings->arena,
                                   .report = report,
                                   .folder = config_file_folder(options->path),
                                   .without_secrets = options->without_secrets};
    const struct yaml_node *root = config_file_tree(settings->arena, text, report);

    if (root == NULL) {
        return;
    }
    config_read_group(&reader, &config_schema_auth, root, &changed);
    if (report->n_errors == 0 && changed.n_auth_keys == settings->n_auth_keys) {
        config_report_error(report, root->mark,
                            "no keys: name some with api_keys_file, api_keys_env or api_keys");
    }
    if (report->n_errors == 0) {
        *settings = changed;
    }
}

enum status config_auth_load(const struct config_file_options *options,
                             struct config_report *report, struct settings *settings)
{
    struct buf text;
    enum status rc;

    buf_init(&text, CONFIG_FILE_BUFFER_BYTES);
    rc = config_file_text(options->path, report, &text);
    if (rc == OK) {
        apply(options, buf_str(&text), report, settings);
        config_report_sort(report);
        rc = report->n_errors == 0 ? OK : E_INVALID;
    }
    buf_done(&text);
    return rc;
}
