/* settings_fields — the fields of struct settings by kind, so that the wire and the digest cannot forget one.
 *
 * Order is part of the digest's canonical form: add at the end of a list, and raise SETTINGS_FORM. */
#pragma once

#define SETTINGS_FORM "dray-settings-2"
#define SETTINGS_BOOLS(X)                                                                                              \
	X(auto_install_peers)                                                                                          \
	X(exclude_links_from_lockfile)                                                                                 \
	X(dedupe_peer_dependents)                                                                                      \
	X(dedupe_peers)                                                                                                \
	X(dedupe_direct_deps)                                                                                          \
	X(dedupe_injected_deps)                                                                                        \
	X(inject_workspace_packages)                                                                                   \
	X(link_workspace_packages)                                                                                     \
	X(link_workspace_packages_deep)                                                                                \
	X(prefer_workspace_packages)                                                                                   \
	X(resolve_peers_from_workspace_root)                                                                           \
	X(strict_peer_dependencies)                                                                                    \
	X(lockfile_include_tarball_url)                                                                                \
	X(block_exotic_subdeps)                                                                                        \
	X(allow_unused_patches)                                                                                        \
	X(minimum_release_age_set)                                                                                     \
	X(auto_install_peers_from_highest_match)                                                                       \
	X(ignore_compatibility_db)
#define SETTINGS_NUMBERS(X)                                                                                            \
	X(peers_suffix_max_length)                                                                                     \
	X(resolution_mode)                                                                                             \
	X(minimum_release_age)                                                                                         \
	X(trust_policy)                                                                                                \
	X(trust_policy_ignore_after)
#define SETTINGS_LISTS(X)                                                                                              \
	X(ignored_optional)                                                                                            \
	X(peer_ignore_missing)                                                                                         \
	X(peer_allow_any)                                                                                              \
	X(minimum_release_age_exclude)                                                                                 \
	X(trust_policy_exclude)                                                                                        \
	X(supported_os)                                                                                                \
	X(supported_cpu)                                                                                               \
	X(supported_libc)
#define SETTINGS_MAPS(X)                                                                                               \
	X(overrides)                                                                                                   \
	X(allowed_deprecated)                                                                                          \
	X(peer_allowed_versions)
/* And by hand: package_extensions_checksum, catalog, extension, patch, registry. */
