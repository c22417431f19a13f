#include "model/config_rope.h"
#include "model/config.h"

#include <math.h>
#include <string.h>

/* Two spellings of one thing.
 *
 *   old   rope_theta, partial_rotary_factor at the top, rope_scaling {type | rope_type, factor,
 *   ...} new   rope_parameters {rope_theta, partial_rotary_factor, rope_type, factor, ...}
 *
 * A file may hold both as long as they agree: a re-save by another version writes the new one
 * beside the old one.  If they disagree nobody knows which one the weights were trained with. */

#define THETA_DEFAULT 10000.0
#define THETA_MAX 1e12
#define PARTIAL_DEFAULT 0.5
#define FACTOR_MAX 4096.0

/* `key` from the top or from rope_parameters; both present and different: a fault. */
static double either_f64(const struct config_reader *root, const struct config_reader *nested,
                         const char *key, double min, double max, double fallback)
{
    const struct json_value *top = config_reader_get(root, key);
    const struct json_value *inner = config_reader_get(nested, key);

    if (top != NULL && inner != NULL && top->number != inner->number) {
        faults_add(root->faults, E_INVALID, root->where,
                   "%s is %.*s, but %s%s is %.*s: remove the wrong one", key, STR_ARG(top->source),
                   nested->prefix, key, STR_ARG(inner->source));
    }
    return config_reader_f64_or(inner != NULL ? nested : root, key, min, max, fallback, true);
}

static const struct json_value *object_or_null(const struct config_reader *root, const char *key)
{
    const struct json_value *v = config_reader_get(root, key);

    if (v != NULL && v->kind != JSON_OBJECT) {
        config_reader_refuse(root, key, v, E_INVALID, "an object or null");
        return NULL;
    }
    return v;
}

/* The kind of scaling an object asks for; empty: none. */
static struct str scaling_type(const struct config_reader *r)
{
    const struct json_value *v = config_reader_get(r, "rope_type");
    const char *key = v != NULL ? "rope_type" : "type";

    if (v == NULL) {
        v = config_reader_get(r, "type");
    }
    if (v != NULL && v->kind != JSON_STRING) {
        config_reader_refuse(r, key, v, E_INVALID, "a string");
        return STR("");
    }
    if (v == NULL || str_eq(v->string, STR("default"))) {
        return STR("");
    }
    if (!str_eq(v->string, STR("yarn"))) {
        config_reader_refuse(r, key, v, E_UNSUPPORTED, "\"default\" or \"yarn\" for this model");
        return STR("");
    }
    return v->string;
}

static double mscale(double factor, double m)
{
    return factor <= 1.0 ? 1.0 : 0.1 * m * log(factor) + 1.0;
}

/* attention_factor, or the ratio that a pair of mscale keys asks for; 0 leaves it to the
 * formula. */
static double attention_factor(const struct config_reader *r, double factor)
{
    double given = config_reader_f64_or(r, "attention_factor", 1e-3, 1e3, 0.0, false);
    double m = config_reader_f64_or(r, "mscale", 0.0, 1e3, 0.0, false);
    double m_all = config_reader_f64_or(r, "mscale_all_dim", 0.0, 1e3, 0.0, false);

    if (given == 0.0 && m > 0.0 && m_all > 0.0) {
        return mscale(factor, m) / mscale(factor, m_all);
    }
    return given;
}

static void read_yarn(const struct config_reader *r, struct model_config *c)
{
    double positions;

    if (config_reader_get(r, "factor") == NULL) {
        faults_add(r->faults, E_INVALID, r->where, "%sfactor is missing, YaRN needs it", r->prefix);
        return;
    }
    c->yarn_factor = config_reader_f64_or(r, "factor", 1.0, FACTOR_MAX, 1.0, false);
    c->yarn_original_positions = config_reader_u32_or(r, "original_max_position_embeddings", 1,
                                                      CONFIG_POSITIONS_MAX, c->max_positions);
    c->yarn_attention_factor = attention_factor(r, c->yarn_factor);
    c->yarn_beta_fast = config_reader_f64_or(r, "beta_fast", 1e-3, 1e6, 32.0, false);
    c->yarn_beta_slow = config_reader_f64_or(r, "beta_slow", 1e-3, 1e6, 1.0, false);
    c->yarn_truncate = config_reader_bool_or(r, "truncate", true, false);
    if (c->yarn_beta_slow >= c->yarn_beta_fast) {
        faults_add(r->faults, E_INVALID, r->where,
                   "%sbeta_slow is %.9g, but must be below beta_fast (%.9g)", r->prefix,
                   c->yarn_beta_slow, c->yarn_beta_fast);
    }
    positions = floor(c->yarn_factor * c->yarn_original_positions);
    if (positions > CONFIG_POSITIONS_MAX) {
        faults_add(
            r->faults, E_INVALID, r->where,
            "%sfactor times original_max_position_embeddings is %.0f, at most %d are possible",
            r->prefix, positions, CONFIG_POSITIONS_MAX);
        return;
    }
    c->max_positions = (uint32_t)positions; // as vLLM derives it
}

static void read_scaling(const struct config_reader *old, const struct config_reader *new,
                         struct model_config *c)
{
    struct str old_type = scaling_type(old);
    struct str new_type = scaling_type(new);

    if (new_type.len > 0) {
        read_yarn(new, c);
    } else if (old_type.len > 0) {
        read_yarn(old, c);
    }
}

void config_rope_read(const struct config_reader *root, struct model_config *c)
{
    struct config_reader new = *root;
    struct config_reader old = *root;
    double partial;
    double rotated;

    new.object = object_or_null(root, "rope_parameters");
    new.prefix = "rope_parameters.";
    old.object = object_or_null(root, "rope_scaling");
    old.prefix = "rope_scaling.";
    c->rope_theta = either_f64(root, &new, "rope_theta", 1.0 + 1e-6, THETA_MAX, THETA_DEFAULT);
    partial = either_f64(root, &new, "partial_rotary_factor", 1e-6, 1.0, PARTIAL_DEFAULT);
    rotated = floor(c->head_dim * partial);
    if (rotated < 2.0 || fmod(rotated, 2.0) != 0.0) {
        faults_add(root->faults, E_INVALID, root->where,
                   "head_dim %u times partial_rotary_factor %.9g gives %.0f turned dimensions, but "
                   "must give an even number from 2 on",
                   c->head_dim, partial, rotated);
        return;
    }
    c->rotated = (uint32_t)rotated;
    read_scaling(&old, &new, c);
}
