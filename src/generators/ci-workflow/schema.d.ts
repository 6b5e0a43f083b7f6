export interface CiWorkflowGeneratorSchema {
  ci?: 'github' | 'gitlab';
  name?: string;
  skipFormat?: boolean;
}
