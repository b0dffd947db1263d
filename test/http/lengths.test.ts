import { expect } from 'chai'
import { type Api, bearer, callerOf, createToken, TOKENS } from '../support/callers/caller.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

const JSON_TYPE = 'application/json'
const numbered = (count: number, one: (n: number) => string) =>
  Array.from({ length: count }, (_, i) => one(i))

describe('What is longer than anything that is asked for', () => {
  let service: TestService
  let owner: Api
  let path: string
  before(async () => {
    service = await startLedger()
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
    path = `${TOKENS}/${(await createToken(owner)).id}`
  })
  after(() => service.close())

  const pointersOf = async (asked: ReturnType<Api['get']>) => {
    const { status, body } = await asked
    expect(status).to.equal(422)
    return body.errors.map(({ pointer }) => pointer)
  }

  it('as a number of members is told of the first', async () => {
    const body = `{${numbered(3000, (n) => `"m${n}":1`).join()}}`
    expect(await pointersOf(owner.post(TOKENS, body, { 'Content-Type': JSON_TYPE }))).to.have.lengthOf(50)
    const few = `{${numbered(10, (n) => `"m${n}":1`).join()},"name":"a"}`
    expect(await pointersOf(owner.post(TOKENS, few, { 'Content-Type': JSON_TYPE }))).to.have.lengthOf(10)
  })

  it('as a number of scopes is said once, whatever they are', async () => {
    const scopes = Array.from({ length: 10_000 }, () => 1)
    expect(await pointersOf(owner.post(TOKENS, { name: 'a', scopes }))).to.deep.equal(['/scopes'])
    expect(await pointersOf(owner.patch(path, { scopes }))).to.deep.equal(['/scopes'])
  })

  it('as a query is not taken apart', async () => {
    expect(await pointersOf(owner.get(`${TOKENS}?q=${'a'.repeat(9000)}`))).to.deep.equal(['?'])
    const many = numbered(100, (n) => `p${n}`).join('&')
    expect(await pointersOf(owner.get(`${TOKENS}?${many}`))).to.have.lengthOf(50)
    expect(await pointersOf(owner.get(`${TOKENS}?${'limit=1&'.repeat(100)}`))).to.deep.equal(['?limit'])
    const long = `/auth/verify?scope=${'a'.repeat(9000)}`
    for (const method of ['GET', 'PUT', 'POST', 'DELETE', 'OPTIONS', 'PATCH']) {
      expect(await pointersOf(owner.send(method, long))).to.deep.equal(['?'])
    }
    expect((await owner.send('HEAD', long)).status).to.equal(422)
    expect((await callerOf(service.url).get(long)).status, 'the credential comes first').to.equal(401)
  })

  it('as a list of tags matches nothing, and one of many tags still does', async () => {
    const tags = (count: number) => ({ 'If-Match': `${'"99", '.repeat(count)}"0"` })
    expect((await owner.patch(path, { name: 'b' }, tags(700))).status).to.equal(412)
    expect((await owner.patch(path, { name: 'b' }, tags(500))).status).to.equal(200)
  })

  it('as a type is none that is read', async () => {
    const headers = { 'Content-Type': `${JSON_TYPE};${' '.repeat(300)}charset=utf-8` }
    expect((await owner.post(TOKENS, '{"name":"a"}', headers)).status).to.equal(415)
  })

  it('as a name in any spelling is refused, and one of 100 characters is not', async () => {
    const decomposed = '\u1fa7'.normalize('NFD')
    expect((await owner.post(TOKENS, { name: ` ${decomposed.repeat(100)} ` })).body.name).to.equal(
      '\u1fa7'.repeat(100),
    )
    expect(await pointersOf(owner.post(TOKENS, { name: decomposed.repeat(101) }))).to.deep.equal(['/name'])
    expect(await pointersOf(owner.post(TOKENS, { name: `a${'\u0301'.repeat(8000)}` }))).to.deep.equal([
      '/name',
    ])
  })
})
