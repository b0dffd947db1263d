import { hasDotSegment } from '../domain/dotSegment.ts'
import { MANAGEMENT_PATH } from '../domain/managementPath.ts'
import { assertKnown } from './knownOptions.ts'
import type { Route } from './route.ts'

export interface RoutesOptions {
  /**
   * The path at which tokens are managed, inside the path that koa-mount may have removed. Default:
   * `/settings/api-tokens`.
   */
  prefix?: string
}

/** @throws TypeError for an option that is none */
export function prefixOf(options: RoutesOptions): string {
  assertKnown('routes', options, ['prefix'])
  const { prefix = MANAGEMENT_PATH } = options
  return prefix
}

/** Segments of characters that no client escapes (RFC 3986 §2.3), and that have no meaning to a router. */
const PREFIX = /^(\/[\w.~-]+)+$/

/** Is it a path that a router can match as it stands? */
export const isPrefix = (prefix: unknown): boolean =>
  typeof prefix === 'string' && PREFIX.test(prefix) && !hasDotSegment(prefix)

/**
 * The routes that manage tokens, at another path.
 * @param mount the number of the mount, since each operation in a description needs a name of its own
 * @throws TypeError for a prefix that is no path
 */
export function movedTo(prefix: string, routes: readonly Route[], mount = 0): Route[] {
  if (!isPrefix(prefix)) {
    throw new TypeError(
      `routes({ prefix: ${JSON.stringify(prefix)} }): a prefix is a path like ${MANAGEMENT_PATH}, with a slash at its ` +
        'start, none at its end, and between slashes only letters, digits, "-", ".", "_" and "~"',
    )
  }
  return routes.map((route) => ({
    ...route,
    path: prefix + route.path.slice(MANAGEMENT_PATH.length),
    operationId: mount === 0 ? route.operationId : `${route.operationId}_${mount + 1}`,
  }))
}
