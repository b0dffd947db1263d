import { expect } from 'chai'
import { WORDS } from '../../../src/http/input/words.ts'
import { feedQuery } from '../../../src/http/openapi/events.ts'
import { allTokensQuery, revocationsBody } from '../../../src/http/openapi/operatorSchemas.ts'
import { portalBody } from '../../../src/http/openapi/portalSchemas.ts'
import * as requests from '../../../src/http/openapi/requests.ts'
import { commandOptions } from '../../../src/ledger/codeSchemas.ts'

/** Keywords that refuse nothing by themselves: annotations, those that hold other schemas, and what the domain checks. */
const SILENT = ['description', 'example', 'default', 'properties', 'items', 'pattern', 'anyOf']

/** The keywords of a schema, and of the schemas in it. */
function* keywordsOf(schema: object): Generator<string> {
  for (const [keyword, value] of Object.entries(schema)) {
    yield keyword
    const inner: unknown[] =
      keyword === 'properties'
        ? Object.values(value as object)
        : ['items', 'anyOf', 'additionalProperties'].includes(keyword)
          ? [value].flat()
          : []
    for (const one of inner) if (typeof one === 'object' && one !== null) yield* keywordsOf(one)
  }
}

describe('What is said of input that a schema refuses', () => {
  const schemas = Object.values(requests).filter(
    (one): one is Exclude<typeof one, number> => typeof one === 'object',
  )
  const all = [...schemas, feedQuery, allTokensQuery, revocationsBody, portalBody, commandOptions]
  const used = new Set(all.flatMap((schema) => [...keywordsOf(schema)]))

  it('has words of its own for each keyword of the schemas of requests, and for no other', () => {
    expect(Object.keys(WORDS)).to.have.members([...used].filter((keyword) => !SILENT.includes(keyword)))
  })

  it('counts as people do', () => {
    expect(WORDS.minItems?.({ limit: 1 })).to.equal('must have at least 1 item')
    expect(WORDS.maxLength?.({ limit: 100 })).to.equal('must have at most 100 characters')
    expect(WORDS.type?.({ type: ['array', 'null'] })).to.equal('must be a list or null')
  })
})
