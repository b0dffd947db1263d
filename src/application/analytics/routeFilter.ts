import { OTHER_ROUTES } from '../../../projections/tokenUsage.ts'
import { Refusal } from '../../domain/errors.ts'

/** Selects the requests on one route, by one method; by any method if that is null. */
export interface RouteFilter {
  method: string | null
  route: string
}

const WITH_METHOD = /^([A-Z]+) (.+)$/s

/**
 * Reads `/orders/:id`, or with a method `GET /orders/:id`. The route has to be written exactly as usage shows it.
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
