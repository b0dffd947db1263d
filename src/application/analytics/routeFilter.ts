import { OTHER_ROUTES } from '../../../projections/tokenUsage.ts'
import { Refusal } from '../../domain/errors.ts'

/** Requests on one route, by one method or, where that is null, by any. */
export interface RouteFilter {
  method: string | null
  route: string
}

const WITH_METHOD = /^([A-Z]+) (.+)$/s

/**
 * `/orders/:id`, or with a method `GET /orders/:id`: the route exactly as usage shows it.
 * @throws Refusal `validation_failed`
 */
export function routeFilter(text: string): RouteFilter {
  if (text === OTHER_ROUTES || text === '') {
    const message = text === '' ? 'must not be empty' : 'stands for routes that were not kept by name'
    throw new Refusal('validation_failed', 'The query is not valid.', [{ path: ['route'], message }])
  }
  const [, method = null, route = text] = WITH_METHOD.exec(text) ?? []
  return { method, route }
}

/** @param key `<METHOD> <route>` */
export function isOnRoute(key: string, { method, route }: RouteFilter): boolean {
  const space = key.indexOf(' ')
  return key.slice(space + 1) === route && (method === null || key.slice(0, space) === method)
}
