import { expect } from 'chai'
import type { Api } from './caller.ts'

/** Every question that a service can be asked, as its own description names them. */

interface Parameter {
  name: string
  in: string
  schema: { enum?: string[] }
}
interface Described {
  paths: Record<string, Record<string, { parameters?: Parameter[] }>>
}

/** Values of parameters that the description does not list. If there is a default, it comes first. */
export type Values = Record<string, (string | undefined)[]>

interface Limits {
  /** Only one of so many combinations is asked. */
  step?: number
  /** Which paths, as the description has them. Default: all. */
  isAsked?: (path: string) => boolean
  /** Which combinations are not asked. Default: none. */
  isLeftOut?: (query: URLSearchParams) => boolean
}

/** The page is so small that following it meets every kind of page. */
const PAGED: Record<string, string> = { limit: '2' }
/** How many pages are followed. */
const PAGES = 4

/**
 * Asks every route that only reads, with every combination of values, page by page.
 * @param places values of the parameters in paths
 * @returns the number of requests
 * @throws AssertionError for a parameter without values
 */
export async function askEverything(
  api: Api,
  places: Record<string, string>,
  values: Values,
  { step = 1, isAsked = () => true, isLeftOut = () => false }: Limits = {},
): Promise<number> {
  const { paths } = (await api.get('/openapi.json')).body as unknown as Described
  let asked = 0
  for (const [template, { get }] of Object.entries(paths)) {
    if (!get || !isAsked(template)) continue
    const path = template.replace(/\{(\w+)\}/g, (_, name: string) => valueOf(places, name, template))
    const parameters = (get.parameters ?? []).filter((parameter) => parameter.in === 'query')
    const queries = combinations(parameters, values, template).filter((query) => !isLeftOut(query))
    for (const [n, query] of queries.entries()) if (n % step === 0) asked += await follow(api, path, query)
  }
  return asked
}

function valueOf(places: Record<string, string>, name: string, template: string): string {
  const value = places[name]
  if (value === undefined) throw new Error(`what is {${name}} in ${template}? Say it in this test`)
  return value
}

function combinations(parameters: readonly Parameter[], values: Values, path: string): URLSearchParams[] {
  let found = [new URLSearchParams()]
  for (const { name, schema } of parameters) {
    if (name === 'cursor') continue
    const some = schema.enum ?? values[name] ?? (PAGED[name] === undefined ? undefined : [PAGED[name]])
    if (!some) throw new Error(`no values for ?${name} of ${path}: say them in this test`)
    found = found.flatMap((query) =>
      some.map((value) => {
        const more = new URLSearchParams(query)
        if (value !== undefined) more.set(name, value)
        return more
      }),
    )
  }
  return found
}

async function follow(api: Api, path: string, query: URLSearchParams): Promise<number> {
  for (let pages = 1; ; pages++) {
    const { status, body } = await api.get(`${path}?${query}`)
    expect(status, `${path}?${query}`).to.be.below(500)
    if (typeof body.next_cursor !== 'string' || pages === PAGES) return pages
    query.set('cursor', body.next_cursor)
  }
}
