import { Validator } from '@seriousme/openapi-schema-validator'
import { expect } from 'chai'
import { startLedger, type TestService } from '../support/ledger.ts'

describe('The description at /openapi.json', () => {
  let service: TestService
  before(async () => {
    service = await startLedger()
  })
  after(() => service.close())

  it('is a valid OpenAPI 3.1 document', async () => {
    const response = await fetch(`${service.url}/openapi.json`)
    const document = (await response.json()) as Record<string, unknown>
    const validator = new Validator()
    const result = await validator.validate(document)
    expect(result.errors ?? []).to.deep.equal([])
    expect(result.valid).to.equal(true)
    expect(validator.version).to.equal('3.1')
  })

  it('names each operation once, and each parameter of a path', async () => {
    const response = await fetch(`${service.url}/openapi.json`)
    const { paths } = (await response.json()) as Paths
    const operations = Object.entries(paths).flatMap(([path, item]) =>
      Object.values(item).map((operation) => ({ path, ...operation })),
    )
    const ids = operations.map(({ operationId }) => operationId)
    expect(new Set(ids).size).to.equal(ids.length)
    for (const { path, parameters } of operations) {
      const described = parameters
        .filter((parameter) => parameter.in === 'path')
        .map(({ name }) => `{${name}}`)
      expect(described, path).to.have.members(path.match(/\{\w+\}/g) ?? [])
    }
  })
})

interface Paths {
  paths: Record<string, Record<string, { operationId: string; parameters: { name: string; in: string }[] }>>
}
