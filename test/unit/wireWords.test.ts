import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { projectRoot } from '../support/project/package.ts'

/** Names of members, parameters and headers of the HTTP API. */
const WIRE_WORDS =
  /\b(account_id|token_id|created_at|updated_at|expires_at|last_accessed|next_cursor|request_id)\b|If-Match|Idempotency-Key|\bpointer\b|['"`]\?\w/

/** Comments are for people, and do not translate anything, so they may contain these words. */
const withoutComments = (text: string): string => text.replace(/^\s*(\/\*\*[^]*?\*\/|\/\/.*$)/gm, '')

/** Rows of an older system's table have these names in any case. */
const OWN_NAMES = 'src/application/tokenImport'

describe('the domain and the use cases', () => {
  const files = ['src/domain', 'src/application', 'projections'].flatMap((folder) =>
    readdirSync(join(projectRoot, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `${folder}/${name}`),
  )

  it('know no words of the wire: each door translates its own', () => {
    const found = files
      .filter((file) => !file.startsWith(OWN_NAMES))
      .flatMap((file) => {
        const [word] = WIRE_WORDS.exec(withoutComments(readFileSync(join(projectRoot, file), 'utf8'))) ?? []
        return word === undefined ? [] : [`${file}: ${word}`]
      })
    expect(files.length).to.be.greaterThan(50)
    expect(found).to.deep.equal([])
  })
})
