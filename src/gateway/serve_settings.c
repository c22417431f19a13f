/* serve_settings.c - the settings of `kontor serve`: one engine in this process, nothing to decide.
 *
 * So that serving and gateway run the same stages; here they pass through.
 */
#include "gateway/gateway_internal.h"

enum status serve_settings_create(const struct gateway_options *options,
                                  struct settings **ret_settings)
{
    static const uint32_t pools[] = {0};
    static const struct settings_member members[] = {{0, 1}};
    static const struct settings_upstream upstreams[] = {
        {.name = {"engine", 6}, .kind = SETTINGS_LOCAL, .provider = {"own", 3}}};
    static const struct settings_pool pool[] = {{
        .name = {"engine", 6},
        .members = members,
        .n_members = 1,
        .balance = SETTINGS_WEIGHTED,
        .ceiling = LABEL_PRIVATE,
    }};
    const bool own_header = options->auth_header.len > 0;
    struct arena *arena = arena_create(1U << 20);
    struct settings *s;
    struct settings_model *models;

    if (arena == NULL) {
        return E_NO_MEMORY;
    }
    s = arena_zalloc(arena, 1, sizeof(*s));
    models = arena_zalloc(arena, options->n_served_names, sizeof(*models));
    if (s == NULL || models == NULL) {
        arena_destroy(arena);
        return E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < options->n_served_names; i++) {
        models[i] = (struct settings_model){.name = str_from_c(options->served_names[i]),
                                            .pools = pools,
                                            .n_pools = 1};
    }
    *s = (struct settings){
        .arena = arena,
        .upstreams = upstreams,
        .n_upstreams = 1,
        .pools = pool,
        .n_pools = 1,
        .models = models,
        .n_models = options->n_served_names,
        .default_label = LABEL_PRIVATE,
        .auth_header = own_header ? options->auth_header : STR("authorization"),
        .auth_prefix = own_header ? options->auth_prefix : STR("Bearer"),
        .attempts_max = 1,
    };
    *ret_settings = s;
    return OK;
}
