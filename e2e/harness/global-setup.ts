import { prepareTemplate } from './template';

/** Packs and installs the plugin once for all e2e suites. */
export default prepareTemplate;
