import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import { keptText } from '../../domain/credential.ts'
import { parseTime } from '../../domain/rules.ts'
import { type InputProblem, Problem } from '../problem.ts'
import { atMost, wordsOf } from './words.ts'

const options = { allErrors: true, strict: true, allowUnionTypes: true, useDefaults: true } as const

const ajv = withFormats(new Ajv2020(options))

function withFormats(bare: Ajv2020): Ajv2020 {
  bare.addFormat('date-time', (text: string) => parseTime(text) !== null)
  bare.addKeyword('example')
  // Patterns are in the schemas for people who read the description. The domain has the complete rules, and says what
  // is wrong.
  bare.removeKeyword('pattern').addKeyword('pattern')
  return bare
}

/** How many errors an answer names at most, so that it is not many times as long as its request. */
const MAX_ERRORS = 50
/** The largest number of members, which is more than any good request has. */
const MAX_MEMBERS = 64
/** How many characters of an unknown member's name are shown. */
const SHOWN = 64
const WHOLE = /^\d{1,15}$/

/** Compiled at the first use, since compiling all schemas would take a large part of a start. */
function compiled(schema: object): () => ValidateFunction {
  let made: ValidateFunction | null = null
  return () => (made ??= ajv.compile(schema))
}

/**
 * A query string is text, so here, and only here, numbers and truth values are parsed from text.
 * @throws Problem 422 from the returned function, with each place that is wrong
 */
export function queryValidator<T>(schema: object): (params: URLSearchParams) => T {
  const validate = compiled(schema)
  const { properties = {} } = schema as { properties?: Record<string, { type?: string }> }
  return (params) => {
    if (params.size > MAX_MEMBERS) assertKnown([...params.keys()], properties, '?')
    const query: Record<string, string | number | boolean> = Object.create(null)
    for (const [name, value] of params) {
      if (name in query)
        throw invalid([{ pointer: `?${escapePointer(name)}`, message: 'must be given once' }])
      query[name] = valueOf(properties[name]?.type, value)
    }
    return validated<T>(validate(), query, (path) => `?${path.slice(1)}`)
  }
}

/** What is no value of the type stays text, and is refused for that. */
function valueOf(type: string | undefined, text: string): string | number | boolean {
  if (type === 'integer' && WHOLE.test(text)) return Number(text)
  return type === 'boolean' && (text === 'true' || text === 'false') ? text === 'true' : text
}

export function bodyValidator<T>(schema: object): (body: unknown) => T {
  const validate = compiled(schema)
  const { properties = {} } = schema as { properties?: Record<string, Sized> }
  return (body) => {
    const isObject = body !== null && typeof body === 'object' && !Array.isArray(body)
    if (isObject) assertFew(body, properties)
    // Defaults are filled in, and a body that a parser of the host has left is the host's own.
    return validated<T>(validate(), isObject ? { ...body } : body, (path) => path)
  }
}

/**
 * The validator looks at every member and every item, and reports each that is wrong. So their number is checked
 * before.
 */
function assertFew(body: object, properties: Record<string, Sized>): void {
  const names = Object.keys(body)
  if (names.length > MAX_MEMBERS) assertKnown(names, properties, '/')
  for (const [name, { maxItems = MAX_MEMBERS, maxProperties = MAX_MEMBERS }] of Object.entries(properties)) {
    const value = (body as Record<string, unknown>)[name]
    if (typeof value !== 'object' || value === null) continue
    const [size, most, what] = Array.isArray(value)
      ? [value.length, maxItems, 'item']
      : [Object.keys(value).length, maxProperties, 'member']
    if (size > most) throw invalid([{ pointer: `/${name}`, message: atMost(most, what) }])
  }
}

/** How large the value of a member may be, by its schema. */
interface Sized {
  maxItems?: number
  maxProperties?: number
}

/** @throws Problem 422 that names all members which are not among the properties */
export function assertKnown(names: readonly string[], properties: object, before: '/' | '?'): void {
  const unknown = names.filter((name) => !Object.hasOwn(properties, name)).slice(0, MAX_ERRORS)
  if (unknown.length === 0) return
  throw invalid(
    unknown.map((name) => ({ pointer: `${before}${escapePointer(name)}`, message: 'is not known' })),
  )
}

function validated<T>(validate: ValidateFunction, value: unknown, pointerOf: (path: string) => string): T {
  if (validate(value)) return value as T
  throw invalid((validate.errors ?? []).slice(0, MAX_ERRORS).map((error) => toInputProblem(error, pointerOf)))
}

function toInputProblem(error: ErrorObject, pointerOf: (path: string) => string): InputProblem {
  const { additionalProperty, missingProperty } = error.params as Record<string, string | undefined>
  const member = additionalProperty ?? missingProperty
  const path = member === undefined ? error.instancePath : `${error.instancePath}/${escapePointer(member)}`
  return { pointer: pointerOf(path), message: wordsOf(error) }
}

/** RFC 6901. The name of an unknown member is the caller's text: it may be long, or a credential in the wrong place. */
const escapePointer = (member: string): string =>
  keptText(member).slice(0, SHOWN).replaceAll('~', '~0').replaceAll('/', '~1')

export const invalid = (errors: InputProblem[]) =>
  new Problem('validation_failed', 'The input is not valid.', { errors })
