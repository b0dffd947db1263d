import { MANAGEMENT_PATH } from '../domain/managementPath.ts'
import type { Route } from './route.ts'

export interface RoutesOptions {
  /** Where tokens are managed, inside of what koa-mount may have taken off. Default: `/settings/api-tokens`. */
  prefix?: string
}

/** Characters that no client writes in another way (RFC 3986 §2.3), and that mean nothing to a router. */
const PREFIX = /^(\/[\w.~-]+)+$/
const DOTS = /\/\.{1,2}(\/|$)/

/**
 * The routes where tokens are managed, at another path.
 * @param mount counts places where they are: an operation of a description has a name of its own
 * @throws TypeError for what is no path
 */
export function movedTo(prefix: string, routes: readonly Route[], mount = 0): Route[] {
  if (typeof prefix !== 'string' || !PREFIX.test(prefix) || DOTS.test(prefix)) {
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
