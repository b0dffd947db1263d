import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect } from 'chai'

/**
 * Checks answers against the service's own `/openapi.json`, and records which parts of it were seen. The reporter reads
 * that record when all files have run.
 */

interface Response {
  description: string
  headers?: Record<string, object>
  content?: Record<string, object>
}
interface Operation {
  responses: Record<string, Response>
}
export interface Description {
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, object> }
}

interface SeenAnswer {
  status: number
  headers: Headers
  text: string
}

interface Book {
  description: Description
  /** @returns what is wrong with a value under the schema at a JSON pointer of the description, or null */
  problemOf(pointer: string, value: unknown): string | null
}

const books = new Map<string, Promise<Book>>()
/** Keyed by the text of the description, since most services have the same one. */
const booksOf = new Map<string, Book>()
/** The parts that were seen, as `<METHOD> <template> <status>`. */
const seen = new Set<string>()

function note(kind: 'description' | 'seen', text: string): void {
  const folder = process.env.TEST_SEEN
  if (folder) appendFileSync(join(folder, `${kind}-${process.pid}`), `${text}\n`)
}

/** Headers that are described, but come only with some of the answers. */
const CONDITIONAL = new Set(['link'])
/** A token of the past has no ETag. */
const isOptional = (name: string, target: string): boolean =>
  CONDITIONAL.has(name) || (name === 'etag' && target.includes('?at='))
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[57][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

async function openBook(url: string): Promise<Book> {
  const text = await (await fetch(`${url}/openapi.json`)).text()
  const known = booksOf.get(text)
  if (known) return known
  const description = JSON.parse(text) as Description
  note('description', JSON.stringify(description))
  const ajv = new Ajv2020({ strict: false, allErrors: true, formats: { 'date-time': TIME, uuid: UUID } })
  ajv.addSchema(description, 'openapi.json')
  const book: Book = {
    description,
    problemOf(pointer, value) {
      const validate = ajv.getSchema(`openapi.json#${pointer}`)
      if (!validate) return `the description has nothing at ${pointer}`
      return validate(value) ? null : ajv.errorsText(validate.errors)
    },
  }
  booksOf.set(text, book)
  return book
}

const bookOf = (url: string): Promise<Book> => {
  const book = books.get(url) ?? openBook(url)
  books.set(url, book)
  return book
}

/** @throws AssertionError if an answer does not match the description */
export async function assertDescribed(
  url: string,
  method: string,
  target: string,
  answer: SeenAnswer,
): Promise<void> {
  const book = await bookOf(url)
  const [path = ''] = target.split('?', 1)
  const what = `${method} ${path} ${answer.status}`
  assertOfAnyAnswer(what, answer)
  const matching = Object.keys(book.description.paths).filter((template) => matches(template, path))
  const [template] = matching.sort(byLiteral)
  const operation = template === undefined ? undefined : operationOf(book.description, template, method)
  if (template === undefined || !operation) {
    expect(answer.status, `${what} is not described`).to.equal(template === undefined ? 404 : 405)
    return assertProblem(book, what, method, answer)
  }
  const response = operation.responses[answer.status]
  expect(response, `${what}: the status is not described for ${template}`).to.be.an('object')
  const entry = `${method} ${template} ${answer.status}`
  if (!seen.has(entry)) note('seen', entry)
  seen.add(entry)
  if (!response) return
  for (const name of Object.keys(response.headers ?? {})) {
    if (!isOptional(name.toLowerCase(), target))
      expect(answer.headers.has(name), `${what}: ${name}`).to.be.true
  }
  assertContent(book, what, `/paths/${escaped(template)}/${key(method)}/responses/${answer.status}`, {
    response,
    answer,
    method,
  })
  if (mediaType(answer) === 'application/problem+json') assertProblem(book, what, method, answer)
}

/** Checks what the contract says about every answer. */
function assertOfAnyAnswer(what: string, { status, headers }: SeenAnswer): void {
  expect(headers.get('cache-control'), what).to.equal('no-store')
  if (headers.get('content-type')?.includes('json')) {
    expect(headers.get('x-content-type-options'), what).to.equal('nosniff')
    expect(headers.get('cross-origin-resource-policy'), what).to.equal('same-origin')
  }
  expect(headers.get('x-request-id'), `${what}: X-Request-Id`).to.match(/^[\w.-]+$/)
  if (status === 401)
    expect(headers.get('www-authenticate'), what).to.match(/^(Bearer|Basic) realm="tokenledger"/)
  if (status === 405) expect(headers.get('allow'), `${what}: Allow`).to.be.a('string')
  if (status === 429) expect(headers.get('retry-after'), `${what}: Retry-After`).to.match(/^\d+$/)
}

function assertContent(
  book: Book,
  what: string,
  pointer: string,
  { response, answer, method }: { response: Response; answer: SeenAnswer; method: string },
): void {
  if (!response.content) {
    expect(answer.text, `${what}: a body that is not described`).to.equal('')
    return
  }
  const type = mediaType(answer)
  expect(Object.keys(response.content), what).to.include(type)
  if (method === 'HEAD') return
  const value: unknown = type.endsWith('json') ? JSON.parse(answer.text) : answer.text
  expect(book.problemOf(`${pointer}/content/${escaped(type)}/schema`, value), what).to.equal(null)
}

function assertProblem(
  book: Book,
  what: string,
  method: string,
  { status, headers, text }: SeenAnswer,
): void {
  expect(headers.get('content-type'), what).to.match(/^application\/problem\+json(; charset=utf-8)?$/)
  if (method === 'HEAD') return
  const problem = JSON.parse(text)
  expect(book.problemOf('/components/schemas/Problem', problem), what).to.equal(null)
  expect(problem, what).to.include({ status, type: `urn:tokenledger:problem:${problem.code}` })
  expect(problem.request_id, what).to.equal(headers.get('x-request-id'))
}

/** The operation for a method. HEAD is GET without a body, unless it is described separately. */
function operationOf({ paths }: Description, template: string, method: string): Operation | undefined {
  const item = paths[template]
  return item?.[key(method)] ?? (method === 'HEAD' ? item?.get : undefined)
}

const key = (method: string): string => method.toLowerCase()
const mediaType = ({ headers }: SeenAnswer): string =>
  (headers.get('content-type') ?? '').split(';', 1)[0] as string
const escaped = (text: string): string => encodeURIComponent(text.replaceAll('~', '~0').replaceAll('/', '~1'))

/** `{rest}` is the path that a proxy appends, which may contain slashes. */
function matches(template: string, path: string): boolean {
  const pattern = template.replace(/\{(\w+)\}/g, (_, name: string) => (name === 'rest' ? '.*' : '[^/]+'))
  return new RegExp(`^${pattern}$`).test(path)
}

const byLiteral = (a: string, b: string): number => Number(a.includes('{')) - Number(b.includes('{'))
