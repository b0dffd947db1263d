import { people } from '../../contract/readModel.fixtures.ts'
import { openMongoReadModel } from '../../../src/adapters/mongodb/readModel.ts'

/** A process that says over and over whether its watch is live, as long as it is let. */
const model = await openMongoReadModel(process.argv[2] ?? '')
await model.open([people])
const watch = model.watch('people', ['name'], () => {})
setInterval(() => console.log(watch.isLive() ? 'live' : 'not live'), 20)
