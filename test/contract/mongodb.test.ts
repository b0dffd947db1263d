import { randomUUID } from 'node:crypto'
import { describeOnMongo, type MongoServer, someMongo } from '../support/stores/mongod.ts'
import { openPatiently } from '../support/stores/patient.ts'
import { readModelContract } from './readModel.contract.ts'

describeOnMongo('MongoDB', () => {
  for (const [name, set] of [
    ['a replica set', 'rs0'],
    ['a standalone server', undefined],
  ] as const) {
    describe(name, () => {
      let server: MongoServer

      before(async () => {
        server = await someMongo({ ...(set && { set }) })
      })

      after(() => server.stop())

      readModelContract(`MongoDB, ${name},`, async () => {
        const url = server.url(`contract-${randomUUID()}`)
        let model = await openPatiently(url)
        return {
          model,
          async reopen() {
            await model.close()
            model = await openPatiently(url)
            return model
          },
          dispose: () => model.close(),
        }
      })
    })
  }
})
